// Starts OHIF on the one study that the clinician's view of this tab was showing, with the session of this tab. What it asks of the
// archive goes through the archive's gate, which decides anew at each request; what is refused is said above it in words.
import { made } from "./dom.js";
import { LaunchProblem, Session } from "./smart.js";
import { handedOver } from "./viewer/handover.js";

const { client, at, bundle } = document.getElementById("ohif-start").dataset;
const TRIES = 10;
const RENEW_MS = 5000; // a session asks for a new token fifteen seconds before the old one ends

const ENDED = "Your access has ended, and nothing more is fetched.";
const REFUSED = "The pictures of this study are not available to you. Access is decided anew at each request, and something may have changed since it was listed.";
const GONE = "The archive does not have this study any more, or not as pictures.";
const SILENT = "The archive does not answer now. Try again in a few minutes.";

function tell(words) {
  const notice = document.getElementById("ohif-notice");
  notice.replaceChildren(made("p", {}, words, " ", made("a", { href: "/viewer" }, "Back to the studies")));
  notice.hidden = false;
}

/** Requests to this study's archive carry the emergency grant, which OHIF does not know of, and are watched. For other studies of
    the patient it would ask by the patient's number: it is told of this one alone, for the viewer lists them all. */
function attend({ base, uid, grant }) {
  const ofArchive = (url) => url.startsWith(`${base}/`);
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    const asked = String(url);
    this.ofArchive = ofArchive(asked);
    return open.call(this, method, asked.startsWith(`${base}/studies?`) ? `${base}/studies?StudyInstanceUID=${uid}` : asked, ...rest);
  };
  XMLHttpRequest.prototype.send = function (body) {
    if (this.ofArchive) {
      if (grant) this.setRequestHeader("Emergency-Grant", grant);
      this.addEventListener("loadend", () => judge(this.status));
    }
    return send.call(this, body);
  };
}

function judge(status) {
  if (status === 401) tell(ENDED);
  else if (status === 403) tell(REFUSED);
  else if (status === 404) tell(GONE);
  else if (status === 429 || status >= 500) tell(SILENT);
}

const authorization = (session) => ({
  id: "registry-session",
  preRegistration: ({ servicesManager }) => servicesManager.services.userAuthenticationService.setServiceImplementation({
    getAuthorizationHeader: () => ({ Authorization: `Bearer ${session.token}` }),
  }),
});

const configuration = (session, base) => ({
  routerBasename: at.replace(/\/$/, ""),
  showStudyList: false,
  investigationalUseDialog: { option: "never" }, // our own bar says it, always
  extensions: [authorization(session)],
  modes: [],
  customizationService: { global: { "ohif.tours": { $set: [] }, "studyBrowser.studyMode": { $set: "primary" } } },
  maxNumberOfWebWorkers: 2,
  showCPUFallbackMessage: false,
  showErrorDetails: "dev",
  maxNumRequests: { interaction: 20, thumbnail: 5, prefetch: 10 },
  defaultDataSourceName: "archive",
  dataSources: [{
    namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
    sourceName: "archive",
    configuration: {
      friendlyName: "The archive of this study",
      name: "archive",
      qidoRoot: base,
      wadoRoot: base,
      qidoSupportsIncludeField: false,
      imageRendering: "wadors",
      thumbnailRendering: "wadors",
      enableStudyLazyLoad: true,
      supportsFuzzyMatching: false,
      supportsWildcard: false,
      omitQuotationForMultipartRequest: true,
      bulkDataURI: { enabled: true, relativeResolution: "studies" },
    },
  }],
  httpErrorHandler: () => null, // see attend
});

/** Whether the archive has the study for this session; where it has not, that has been said. A busy archive is asked again. */
async function there(session, { base, uid }) {
  const asked = { headers: { Accept: "application/dicom+json" } };
  const answer = await session.patiently(`${base}/studies?StudyInstanceUID=${uid}`, asked, TRIES, [429, 503]);
  judge(answer.status);
  return answer.ok;
}

async function start() {
  const kept = handedOver();
  const session = kept && Session.restored({ client });
  if (!session) {
    tell("OHIF is opened from a study in the clinician’s view.");
    return;
  }
  session.grant = kept.grant;
  document.getElementById("ohif-title").textContent = kept.title;
  if (!await there(session, kept)) return;
  setInterval(() => session.renewed().catch(() => tell(ENDED)), RENEW_MS);
  attend(kept);
  Object.assign(window, { PUBLIC_URL: at, config: configuration(session, kept.base), browserImportFunction: (address) => import(address) });
  // the study is named within the browser alone
  history.replaceState(null, "", `${at}viewer?StudyInstanceUIDs=${kept.uid}`);
  document.body.append(made("script", { src: bundle }));
}

start().catch((problem) => tell(problem instanceof LaunchProblem ? problem.message : "OHIF could not be started."));
