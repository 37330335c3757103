/** Which Node the agent runs on. */

/** What the catalog's database library is built for; an older Node crashes in it without a word. */
const OLDEST = 22;

/** @returns what to tell whoever starts the agent on a Node that is too old */
export function nodeProblem(version: string): string | undefined {
  if (Number.parseInt(version, 10) >= OLDEST) {
    return undefined;
  }
  return `runs on Node ${OLDEST} or newer, and this is ${version}. Start it with the Node that comes with it: npm run agent`;
}
