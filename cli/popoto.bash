# Completion of the popoto command for bash: commands, options and their values; models, fields and tenants
# by name, from the database itself where it answers within a second.

_popoto_commands='tenants audit show query export import erase migrate grant revoke models info help'

_popoto_options() {
    local of='--url --password-file --dialect --models --json --help'
    case $1 in
    tenants) of+=' --model --tenant-field --sort --limit' ;;
    audit) of+=' --model --tenant --tenant-field --limit --repair --yes' ;;
    show) of+=' --model' ;;
    query) of+=' --order --limit --offset --fields --keys --count --scan --all-tenants' ;;
    export) of+=' --model --tenant-field --output' ;;
    import) of+=' --model --tenant-field' ;;
    erase) of+=' --model --tenant-field --yes' ;;
    migrate) of+=' --dry-run --limit --yes' ;;
    grant) of+=' --model --grant-password-file --yes' ;;
    revoke) of+=' --yes' ;;
    models) of+=' --model' ;;
    info | help) ;;
    *) of+=' --version' ;;
    esac
    echo "$of"
}

# The line as the shell would split it: bash breaks the words of COMP_WORDS at : and = besides, and a URL has
# colons. Sets words and at, the number of the word that is completed, of which the part up to the cursor counts.
_popoto_split() {
    local i part line=${COMP_LINE:0:COMP_POINT}
    words=() at=-1
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        # What has no space before it belongs to the word before.
        if [ "$at" -ge 0 ] && [ -n "$line" ] && [[ $line != [[:space:]]* ]]; then
            words[at]+=$part
        else
            at=$((at + 1))
            words[at]=$part
            line=${line#"${line%%[![:space:]]*}"}
        fi
        line=${line#"$part"}
    done
}

# Asks the command, with the database and the models that the line names so far. Nothing is asked of a database
# that is not named, and no embedded server is started.
_popoto_ask() {
    local i given=() url=${POPOTO_URL:-}
    for ((i = 1; i < at; i++)); do
        case ${words[i]} in
        --url=*) url=${words[i]#*=} ;;
        --models=* | --password-file=* | --dialect=*) given+=("${words[i]}") ;;
        -u | --url) url=${words[i + 1]} ;;
        -m | --models | --password-file | --dialect) given+=("${words[i]}" "${words[i + 1]}") ;;
        esac
    done
    case $url in
    '' | embedded:*) return ;;
    esac
    POPOTO_URL=$url timeout 1 "${words[0]}" "$@" "${given[@]}" 2>/dev/null </dev/null
}

_popoto_models() {
    _popoto_ask models | awk '$1 == "FIELD" && before != "" { print before } { before = $1 }'
}

# The fields of a model, or of all; of some kinds, if that is said.
_popoto_fields() {
    _popoto_ask models | awk -v model="$1" -v kinds="${2:-.}" '
        $1 == "FIELD" { inside = model == "" || before == model; next }
        $1 == "" { inside = 0 }
        inside && $2 ~ kinds { print $1 }
        { before = $1 }' | sort -u
}

# Those of names that need no quotes.
_popoto_tenants() {
    _popoto_ask tenants --sort tenant --limit 1000 | sed -n '2,$s/^\([A-Za-z0-9_.@%+-]*\)  .*/\1/p'
}

_popoto_offer() { # WORDS
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word")
}

# Behind the last comma of a list, or behind a - that turns an order around.
_popoto_offer_behind() { # MARK WORDS
    local before=''
    case $word in
    *"$1"*) before=${word%"$1"*}$1 ;;
    esac
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$2" -- "${word#"$before"}")
}

_popoto_lookups() { # MODEL
    local field lookups='' endings='in gt gte lt lte between isnull startswith endswith contains' ending
    for field in $(_popoto_fields "$1"); do
        case $word in
        "$field"__*) for ending in $endings; do lookups+=" ${field}__$ending="; done ;;
        *) lookups+=" $field=" ;;
        esac
    done
    compopt -o nospace 2>/dev/null
    _popoto_offer "$lookups"
}

# What an option takes. False: it takes nothing.
_popoto_value() { # OPTION MODEL COMMAND
    case $1 in
    --dialect) _popoto_offer 'documented popoto' ;;
    -s | --sort)
        _popoto_offer 'tenant -tenant records -records entries -entries size -size confidence -confidence
            idle -idle'
        ;;
    --password-file | --grant-password-file | -m | --models | --output)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    --model) _popoto_offer "$(_popoto_models)" ;;
    --tenant) _popoto_offer "$(_popoto_tenants)" ;;
    -t | --tenant-field) _popoto_offer "$(_popoto_fields '' 'key$')" ;;
    -o)
        case $3 in
        export) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        *) _popoto_offer_behind - "$(_popoto_fields "$2")" ;;
        esac
        ;;
    --order) _popoto_offer_behind - "$(_popoto_fields "$2")" ;;
    -f | --fields)
        compopt -o nospace 2>/dev/null
        _popoto_offer_behind , "$(_popoto_fields "$2")"
        ;;
    -u | --url)
        compopt -o nospace 2>/dev/null
        case $word in
        unix:*) mapfile -t COMPREPLY < <(compgen -P unix: -f -- "${word#unix:}") ;;
        *) _popoto_offer 'redis:// rediss:// redis+cluster:// unix:/ embedded:' ;;
        esac
        ;;
    -l | --limit | --offset) ;;
    *) return 1 ;;
    esac
}

_popoto_complete() {
    local command='' operands=() i skip=''
    for ((i = 1; i < at; i++)); do
        if [ -n "$skip" ]; then
            skip=''
            continue
        fi
        case ${words[i]} in
        --*=*) ;;
        -u | --url | --password-file | --dialect | -m | --models | --model | --tenant | -t | --tenant-field | \
            -s | --sort | -o | --order | --output | -l | --limit | --offset | -f | --fields | \
            --grant-password-file) skip=1 ;;
        -*) ;;
        *) if [ -z "$command" ]; then command=${words[i]}; else operands+=("${words[i]}"); fi ;;
        esac
    done
    [ -z "$skip" ] || { _popoto_value "${words[at - 1]}" "${operands[0]:-}" "$command"; return; }
    case $word in
    --*=*)
        local option=${word%%=*}
        word=${word#*=}
        _popoto_value "$option" "${operands[0]:-}" "$command"
        COMPREPLY=("${COMPREPLY[@]/#/$option=}")
        return
        ;;
    -*) _popoto_offer "$(_popoto_options "$command")"; return ;;
    esac
    case $command:${#operands[@]} in
    :* | help:0) _popoto_offer "$_popoto_commands" ;;
    migrate:0) _popoto_offer 'confidence strict' ;;
    tenants:* | audit:* | models:* | query:0 | migrate:1) _popoto_offer "$(_popoto_models)" ;;
    migrate:2) _popoto_offer "$(_popoto_fields "${operands[1]}")" ;;
    query:*) _popoto_lookups "${operands[0]}" ;;
    export:0 | import:0 | erase:0 | grant:0) _popoto_offer "$(_popoto_tenants)" ;;
    import:1) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}

_popoto() {
    local words at word all i
    _popoto_split
    word=${words[at]}
    all=$word
    COMPREPLY=()
    _popoto_complete
    # Bash puts what it is given in the place of the last part of the word alone, as it broke it.
    local part=${COMP_WORDS[COMP_CWORD]}
    [[ ! $part =~ ^[:=]+$ ]] || part=''
    local kept=${all%"$part"}
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
    done
}

complete -F _popoto popoto
