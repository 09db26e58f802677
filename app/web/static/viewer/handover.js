// A study goes to OHIF in the same tab: what it needs is kept for that tab, and no server is sent a study's UID in an address.
// Another tab would share the session's refresh token, which serves once.
import { Archive } from "./archive.js";

const KEY = "ohif";

export function handOver(row, session) {
  sessionStorage.setItem(KEY, JSON.stringify({ base: Archive.base(row), uid: row.uid, title: row.title, grant: session.grant }));
}

/** { base, uid, title, grant }, or null where no study was handed over. */
export const handedOver = () => JSON.parse(sessionStorage.getItem(KEY) ?? "null");
