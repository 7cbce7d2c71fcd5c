# What the launchers of real services share. Each is `NAME start DIR [--port N] [--until PID]`, `NAME stop DIR`, `NAME kill DIR`:
#   start  starts it on loopback with its data in DIR, waits until it answers, prints host:port. Once more on the same DIR: the same
#          port, the same data. --until PID: it ends when that process has gone, however that came.
#   stop   asks it to end and waits.      kill   SIGKILL, and waits.
# Exit 77: the service is not installed (see scripts/install-packages services).
# A launcher sets `name`, defines install_check, prepare (once a DIR) and run (execs the service in the foreground; $dir, $port) and
# answers (true when it takes requests), then calls service_main "$@".
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

# When a process began, in clock ticks since the boot: with its pid that is the process, for a pid may be used again. '' without one.
began() {
  local stat
  { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 0
  set -- ${stat##*) }
  echo "${20}"
}

# Ends the service when the process that wanted it has gone; leaves it alone, and whoever has its pid then, when it has ended itself.
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
