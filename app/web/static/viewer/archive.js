// Pictures as the archive renders them: DICOMweb (PS3.18, 10.4.1 and 8.3.5), with the same token, judged again at each request.

const KEPT = 240; // pictures held in memory, so that a stack can be run through again without asking

/** Why a picture cannot be shown, in words. */
export class NoPicture extends Error {
  constructor(message, ended = false) {
    super(message);
    this.ended = ended;
  }
}

export class Archive {
  constructor(session) {
    this.session = session;
    this.held = new Map();
  }

  /** Where a study's pictures are fetched: the first archive that is told; null for none. */
  static base(row) {
    const one = row.endpoints.find((endpoint) => endpoint.connectionType?.code === "dicom-wado-rs" && endpoint.status === "active");
    return one ? one.address.replace(/\/$/, "") : null;
  }

  /** The address of a rendered picture. `frame` begins at 1; `window` is "centre,width"; `size` in pixels. */
  static rendered(base, study, series, instance, { frame = null, window = null, size = null } = {}) {
    const of = frame === null ? "" : `/frames/${frame}`;
    const query = [window && `window=${window},linear`, size && `viewport=${size},${size}`].filter(Boolean).join("&");
    return `${base}/studies/${study}/series/${series}/instances/${instance}${of}/rendered${query ? `?${query}` : ""}`;
  }

  /** An address of the picture for an <img>. Throws NoPicture. */
  async picture(address, signal) {
    const held = this.held.get(address);
    if (held) {
      this.held.delete(address);
      this.held.set(address, held);
      return held;
    }
    const made = URL.createObjectURL(await this.blob(address, "image/jpeg, image/png", signal));
    this.held.set(address, made);
    for (const [old, url] of this.held) {
      if (this.held.size <= KEPT) break;
      URL.revokeObjectURL(url);
      this.held.delete(old);
    }
    return made;
  }

  async blob(address, accept, signal) {
    const answer = await this.session.patiently(address, { headers: { Accept: accept }, signal }, 3).catch((problem) => {
      if (problem.name === "AbortError") throw problem;
      throw new NoPicture(problem.name === "LaunchProblem" ? problem.message : "The archive cannot be reached from here.");
    });
    if (!answer.ok) throw new NoPicture(words(answer.status), [401, 403].includes(answer.status));
    return answer.blob();
  }

  /** What the archive says of each picture of a series, by its UID: frames and window presets. {} where it says nothing. */
  async metadata(base, study, series) {
    const answer = await this.session.fetch(`${base}/studies/${study}/series/${series}/metadata`, { headers: { Accept: "application/dicom+json" } }).catch(() => null);
    if (!answer?.ok) return {};
    const found = {};
    for (const one of await answer.json().catch(() => [])) {
      const values = (tag) => one[tag]?.Value ?? [];
      const names = values("00281055");
      found[values("00080018")[0]] = {
        frames: Number(values("00280008")[0] ?? 1),
        windows: values("00281050").map((centre, at) => ({ window: `${centre},${values("00281051")[at]}`, name: names[at] ?? null })),
      };
    }
    return found;
  }

  forget() {
    for (const url of this.held.values()) URL.revokeObjectURL(url);
    this.held.clear();
  }
}

function words(status) {
  if (status === 401 || status === 403) return "This may no longer be shown to you: access is decided anew for every picture, and something has changed.";
  if (status === 404) return "The archive does not have this picture any more, or you may not see it.";
  if (status === 406 || status === 415) return "The archive cannot make a picture of this. It may be a report, a waveform or a measurement.";
  if (status === 503 || status === 429) return "The archive is busy. Try again in a moment.";
  return "The archive does not answer. The study is registered, its pictures cannot be fetched now.";
}
