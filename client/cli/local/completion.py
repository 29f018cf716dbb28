"""The commands `completion`, which prints a shell's completion script for zclient, and `help`."""

from __future__ import annotations

from typing import Any

from zjobs.client.cli import exit_codes, usage
from zjobs.client.cli.local.complete import FILES, SHELLS
from zjobs.client.cli.show.console import Output
from zjobs.program.cli.options import help_page, one_of
from zjobs.program.cli.parse import UsageError, command_of

# Readline replaces only what follows the last = or : of a word, if these are among the characters that break words.
_BASH = """\
_zclient() {
    local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[^=:]/} words word before=''
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    word=${words[${#words[@]}-1]}
    [[ -n $breaks ]] && before=${word%"${word##*[$breaks]}"}
    COMPREPLY=()
    while IFS=$'\\t' read -r word _; do
        if [[ $word == FILES ]]; then
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "${words[${#words[@]}-1]#-*=}")
        else
            COMPREPLY+=("$(printf %q "${word#"$before"}")")
        fi
    done < <("${1/#\\~/$HOME}" __complete "${words[@]:1}" 2> /dev/null)
}
complete -F _zclient zclient
"""

_ZSH = """\
#compdef zclient
_zclient() {
    local line
    local -a values shown
    for line in ${(f)"$(${(Q)~words[1]} __complete "${(@Q)words[2,CURRENT]}" 2> /dev/null)"}; do
        if [[ $line == FILES ]]; then
            compset -P '-*='
            _files
            return
        fi
        values+=("${line%%$'\\t'*}")
        shown+=("${line/$'\\t'/  -- }")
    done
    compadd -l -d shown -a values
}
if [[ $funcstack[1] == _zclient ]]; then
    _zclient "$@"
else
    compdef _zclient zclient
fi
"""

_FISH = """\
function __zclient_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..] "$current" 2> /dev/null)
    if test "$answer" = FILES
        set -l before (string match -r -- '^-[^=]*=' "$current")
        for file in (__fish_complete_path (string replace -r -- '^-[^=]*=' '' "$current"))
            echo "$before$file"
        end
    else if set -q answer[1]
        printf '%s\\n' $answer
    end
end
complete -c zclient -f -a '(__zclient_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def completion(args: dict[str, Any], output: Output) -> int:
    """Print the script for a shell."""
    try:
        shell = one_of(args["SHELL"], list(SHELLS))
    except ValueError as error:
        raise UsageError(str(error)) from None
    output.line(_SCRIPTS[shell].replace("FILES", FILES).rstrip(), {"shell": shell, "script": _SCRIPTS[shell]})
    return exit_codes.DONE


def show_help(args: dict[str, Any], output: Output) -> int:
    """Print the page of a command, or the program's."""
    name = args["COMMAND"]
    page = help_page(usage.ZCLIENT, command_of(usage.ZCLIENT, [name]) if name else None)
    output.line(page, {"help": page})
    return exit_codes.DONE
