# Completion of the popoto command for bash: commands, options and their values; models by name, and
# fields of a query, from the database itself where it answers within a second.

_popoto_options() {
    local of='--url --password-file --dialect --models --json --help'
    case $1 in
    tenants) of+=' --model --tenant-field --sort --limit' ;;
    audit) of+=' --model --limit --repair --yes' ;;
    show) of+=' --model' ;;
    query) of+=' --order --limit --offset --fields --keys --count --scan --all-tenants' ;;
    export) of+=' --model --tenant-field --output' ;;
    import) of+=' --model --tenant-field' ;;
    erase) of+=' --model --tenant-field --yes' ;;
    migrate) of+=' --dry-run --limit --yes' ;;
    grant) of+=' --model --grant-password-file --yes' ;;
    revoke) of+=' --yes' ;;
    models) of+=' --model' ;;
    info) ;;
    *) of+=' --version' ;;
    esac
    echo "$of"
}

# Asks the command, with the connection that the line names so far. (No embedded server is started for a
# completion.)
_popoto_ask() {
    local url=${POPOTO_URL:-} i
    for ((i = 1; i + 1 < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -u | --url) url=${COMP_WORDS[i + 1]} ;;
        esac
    done
    [ -n "$url" ] || return
    timeout 1 "${COMP_WORDS[0]}" models --url "$url" 2>/dev/null </dev/null
}

_popoto_models() {
    _popoto_ask | awk '$1 == "FIELD" && before != "" { print before } { before = $1 }'
}

_popoto_fields() {
    _popoto_ask | awk -v model="$1" '
        $1 == "FIELD" { inside = before == model; next }
        $1 == "" { inside = 0 }
        inside { print $1 }
        { before = $1 }'
}

_popoto() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local all='tenants audit show query export import erase migrate grant revoke models info'
    local command='' operands=() i skip=''
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [ -n "$skip" ]; then
            skip=''
            continue
        fi
        case ${COMP_WORDS[i]} in
        -u | --url | --password-file | --dialect | -m | --models | --model | -t | --tenant-field | \
            -s | --sort | -o | --order | --output | -l | --limit | --offset | -f | --fields | \
            --grant-password-file) skip=1 ;;
        -*) ;;
        *) if [ -z "$command" ]; then command=${COMP_WORDS[i]}; else operands+=("${COMP_WORDS[i]}"); fi ;;
        esac
    done
    COMPREPLY=()
    case $before in
    --dialect) mapfile -t COMPREPLY < <(compgen -W 'documented popoto' -- "$word"); return ;;
    -s | --sort)
        mapfile -t COMPREPLY < <(compgen -W 'tenant -tenant records -records entries -entries size -size
            confidence -confidence idle -idle' -- "$word")
        return
        ;;
    --password-file | --grant-password-file | -m | --models | --output)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    --model) mapfile -t COMPREPLY < <(compgen -W "$(_popoto_models)" -- "$word"); return ;;
    -o | --order | -f | --fields)
        mapfile -t COMPREPLY < <(compgen -W "$(_popoto_fields "${operands[0]:-}")" -- "$word")
        return
        ;;
    -u | --url)
        mapfile -t COMPREPLY < <(compgen -W 'redis:// rediss:// redis+cluster:// unix:/ embedded:' -- "$word")
        return
        ;;
    esac
    case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$(_popoto_options "$command")" -- "$word"); return ;;
    esac
    case $command:${#operands[@]} in
    :*) mapfile -t COMPREPLY < <(compgen -W "$all" -- "$word") ;;
    migrate:0) mapfile -t COMPREPLY < <(compgen -W 'confidence strict' -- "$word") ;;
    tenants:* | audit:* | models:* | query:0 | migrate:1)
        mapfile -t COMPREPLY < <(compgen -W "$(_popoto_models)" -- "$word")
        ;;
    migrate:2) mapfile -t COMPREPLY < <(compgen -W "$(_popoto_fields "${operands[1]}")" -- "$word") ;;
    query:*)
        compopt -o nospace 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -S = -W "$(_popoto_fields "${operands[0]}")" -- "$word")
        ;;
    import:1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}

complete -F _popoto popoto
