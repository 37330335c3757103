/** `torpor completion SHELL`: completion for commands, options, applications and images. */
import { fail } from "../../contract/index.js";
import { argument, type Command } from "../command.js";

/** What the scripts below call back for words that only the agent knows. */
export const wordsCommand = "complete-words";

const bash = `_torpor() {
  local IFS=$'\\n'
  COMPREPLY=()
  local words
  words=$(torpor ${wordsCommand} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) || return 0
  if [ "$words" = "@folders" ]; then
    COMPREPLY=($(compgen -d -- "\${COMP_WORDS[COMP_CWORD]}"))
    return 0
  fi
  if [ "$words" = "@files" ]; then
    COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
    return 0
  fi
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _torpor torpor
`;

const zsh = `#compdef torpor
_torpor() {
  local -a found
  found=("\${(@f)$(torpor ${wordsCommand} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ "\${found[1]}" == "@folders" ]]; then
    _files -/
  elif [[ "\${found[1]}" == "@files" ]]; then
    _files
  else
    compadd -a found
  fi
}
if [[ "\${funcstack[1]}" == _torpor ]]; then _torpor "$@"; else compdef _torpor torpor; fi
`;

const fish = `function __torpor_words
    set -l tokens (commandline -opc) (commandline -ct)
    torpor ${wordsCommand} -- $tokens[2..-1] 2>/dev/null | string match -rv '^@(files|folders)$'
end
complete -c torpor -f -a '(__torpor_words)'
complete -c torpor -n '__fish_seen_subcommand_from move save' -F
`;

const scripts: Readonly<Record<string, string>> = { bash, zsh, fish };

export const completionCommand: Command = {
  name: "completion",
  summary: "Print the completion for a shell: bash, zsh or fish",
  arguments: [{ name: "SHELL", kind: "shell" }],
  options: {},
  details:
    "bash:  source <(torpor completion bash)\n" +
    "zsh:   source <(torpor completion zsh)\n" +
    "fish:  torpor completion fish | source",
  run(invocation, { output }) {
    const shell = argument(invocation, 0);
    const script = scripts[shell];
    if (script === undefined) {
      fail("usage", {
        happened: `There is no completion for "${shell}".`,
        remedy: "There is one for bash, zsh and fish.",
      });
    }
    output.raw(script);
    return Promise.resolve(0);
  },
};
