/** Applications that the tests run: real programs of any Debian. */

/** A shell whose state is easy to see: its variables, its PID, its history. */
export const shell = `
name = "Shell"
command = ["bash", "--norc", "-i"]
terminal = true
cwd = "/"
stop-grace = "3s"
[env]
PS1 = "ready> "
HISTFILE = ""
`;

/**
 * Holds memory of which no page is like another, so that an image of it takes a while. Without a
 * terminal; it says "held" in its log.
 */
export function memoryHolder(mebibytes: number): string {
  return `
name = "Memory"
command = ["python3", "-c", "import os, time; held = os.urandom(${mebibytes} << 20); print('held', flush=True)\\nwhile True: time.sleep(0.05)"]
stop-grace = "1s"
`;
}
