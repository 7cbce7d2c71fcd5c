# Shared by the launchers of real services. The usage is `NAME start DIR [--port N] [--until PID]`, `NAME stop DIR`, `NAME kill DIR`:
#   start  starts the service on loopback with its data in DIR, waits until it answers, and prints host:port. With the same DIR again,
#          it has the same port and data. --until PID: the service ends when that process ends, for whatever reason.
#   stop   sends SIGTERM and waits.      kill   sends SIGKILL and waits.
# Exit code 77: the service is not installed (see scripts/install-packages services).
# A launcher sets `name` and defines install_check, prepare (once per DIR), run (execs the service in the foreground, with $dir and $port)
# and answers (true if the service accepts requests). Then it calls service_main "$@".
set -euo pipefail

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

service_missing() { echo "REAL SERVICE MISSING: $name: $1 (./dev deps services installs it)" >&2; exit 77; }

is_up() { [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

service_end() {
  is_up || return 0
  local pid; pid=$(cat "$dir/pid")
  kill -s "$1" "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  rm -f "$dir/pid"
}

# The start time of a process in clock ticks since the boot, or '' if there is none. A pid may be used again; pid and start time together
# identify a process.
began() {
  local stat
  { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 0
  set -- ${stat##*) }
  echo "${20}"
}

# Ends the service when its owner has ended. If the service has ended itself, another process with its pid is left alone.
watch_over() {
  local owner=$1 pid=$2 owner_began pid_began
  owner_began=$(began "$owner")
  pid_began=$(began "$pid")
  (
    while [ "$(began "$pid")" = "$pid_began" ]; do
      if [ -z "$owner_began" ] || [ "$(began "$owner")" != "$owner_began" ]; then
        kill -s KILL "$pid" 2>/dev/null || true
        break
      fi
      sleep 0.5
    done
  ) > /dev/null 2>&1 < /dev/null &
  disown
}

service_start() {
  install_check
  is_up && { echo "$name: already runs in $dir" >&2; exit 1; }
  mkdir -p "$dir"
  port=${port:-$(cat "$dir/port" 2>/dev/null || free_port)}
  if [ ! -e "$dir/.prepared" ]; then prepare >> "$dir/log" 2>&1 || { tail -n 5 "$dir/log" >&2; exit 1; }; touch "$dir/.prepared"; fi
  echo "$port" > "$dir/port"
  ( run ) >> "$dir/log" 2>&1 < /dev/null &
  local pid=$!
  echo "$pid" > "$dir/pid"
  for _ in $(seq 1 600); do
    kill -0 "$pid" 2>/dev/null || { echo "$name ended; $dir/log says:" >&2; tail -n 5 "$dir/log" >&2; exit 1; }
    if answers > /dev/null 2>&1; then
      [ -z "${until_pid:-}" ] || watch_over "$until_pid" "$pid"
      disown
      echo "127.0.0.1:$port"
      return
    fi
    sleep 0.1
  done
  echo "$name gave no answer on port $port within 60 s; see $dir/log" >&2
  service_end KILL
  exit 1
}

service_main() {
  local command=${1:-}; dir=${2:-}; port=""; until_pid=""
  [ -n "$dir" ] || { echo "usage: $name start|stop|kill DIR [--port N] [--until PID]" >&2; exit 2; }
  shift 2
  while [ $# -gt 0 ]; do
    case "$1" in
      --port) port=$2; shift 2 ;;
      --until) until_pid=$2; shift 2 ;;
      *) echo "$name: unknown argument $1" >&2; exit 2 ;;
    esac
  done
  mkdir -p "$dir"; dir=$(cd "$dir" && pwd)
  case "$command" in
    start) service_start ;;
    stop) service_end TERM ;;
    kill) service_end KILL ;;
    *) echo "$name: unknown command $command" >&2; exit 2 ;;
  esac
}
