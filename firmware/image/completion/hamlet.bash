# bash completion for hamlet(1). Ids of points and alarms come from the daemon, where it answers.

_hamlet_ids() {  # VERB KEY: the values of KEY in the verb's JSON
  timeout 2 hamlet --json "$1" 2>/dev/null | grep -o "\"$2\":\"[^\"]*\"" | cut -d'"' -f4 | sort -u
}

_hamlet() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb='' inner='' argument='' i
  COMPREPLY=()
  case $before in
    --lang) COMPREPLY=($(compgen -W 'zh en' -- "$word")); return ;;
    --socket | --config | --csv | --to | --out | --output) COMPREPLY=($(compgen -f -- "$word")); return ;;
    --zone) COMPREPLY=($(compgen -W 'Z +08:00' -- "$word")); return ;;
    --point) COMPREPLY=($(compgen -W "$(_hamlet_ids points point)" -- "$word")); return ;;
    --since | --until) COMPREPLY=($(compgen -W '30min 2h 1d 7d' -- "$word")); return ;;
    --pack) COMPREPLY=($(compgen -W "$(_hamlet_ids init pack)" -- "$word")); return ;;
    --source | --limit | --occurrence | --for) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      --lang | --socket | --config | --csv | --zone | --point | --to | --out | --since | --until | --source | --limit | --occurrence | --for | --pack | --output) ((++i)) ;;
      -*) ;;
      *)
        if [ -z "$verb" ]; then verb=${COMP_WORDS[i]}
        elif [ -z "$inner" ]; then inner=${COMP_WORDS[i]}
        else argument=${COMP_WORDS[i]}; fi
        ;;
    esac
  done

  local words='--json --lang --socket --config --help'
  case $verb in
    '') words+=' --version status points readings events alarms outputs cameras media journal uplink config init backtest probe' ;;
    readings)
      words+=' --since --limit'
      [ -n "$inner" ] || [[ $word == -* ]] || words+=" $(_hamlet_ids points point)"
      ;;
    events) words+=' --since --limit --source' ;;
    alarms)
      if [ -z "$inner" ]; then words+=' list ack'
      elif [ "$inner" = ack ]; then
        words+=' --occurrence'
        [ -n "$argument" ] || [[ $word == -* ]] || words+=" $(_hamlet_ids alarms alarm)"
      fi
      ;;
    outputs)
      if [ -z "$inner" ]; then words+=' list set auto'
      elif [ "$inner" != list ]; then
        words+=' --for'
        if [ -z "$argument" ]; then [[ $word == -* ]] || words+=" $(_hamlet_ids outputs output)"; else words+=' on off'; fi
      fi
      ;;
    init) words+=' --pack --output' ;;
    backtest) words+=' --csv --point --zone --summary' ;;
    journal)
      case $inner in
        '') words+=' stat check export' ;;
        export) words+=' --to --unsent --since --until' ;;
      esac
      ;;
    cameras)
      if [ -z "$inner" ]; then words+=' snapshot'
      else
        words+=' --out'
        [ -n "$argument" ] || [[ $word == -* ]] || words+=" $(_hamlet_ids cameras id)"
      fi
      ;;
    media)
      case $inner in
        '') words+=' list show upload hold release' ;;
        list) words+=' --held --limit' ;;
        *)
          [ "$inner" != show ] || words+=' --out'
          [ -n "$argument" ] || [[ $word == -* ]] || words+=" $(_hamlet_ids media picture)"
          ;;
      esac
      ;;
    uplink) [ -n "$inner" ] || words+=' test' ;;
    config)
      if [ "$inner" = check ]; then COMPREPLY=($(compgen -f -- "$word")); return; fi
      words+=' check'
      ;;
    probe)
      if [ -z "$inner" ]; then words+=' decode hj212 modbus-rtu modbus-tcp sl651'
      elif [ "$inner" = decode ]; then words+=' sl651 hj212'
      elif [ "$inner" = sl651 ] || [ "$inner" = hj212 ]; then words+=' --listen --count'
      else words+=' --scan --profile --address --timeout --recording --profiles --baud --format --port'; fi
      ;;
  esac
  # Options only where one has been begun.
  [[ $word == -* ]] || words=$(printf '%s\n' $words | grep -v '^-')
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _hamlet hamlet
