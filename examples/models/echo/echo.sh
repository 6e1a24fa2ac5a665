#!/bin/bash
# Answers GET /echo/<x> with <x>, and anything else with 404, by means of nc. One caller at a time.
# MODEL_HOST, MODEL_PORT: where it listens, by default 127.0.0.1 and 1500.

host=${MODEL_HOST:-127.0.0.1} port=${MODEL_PORT:-1500}

announce() { # so that nobody reads half of it
    printf '{"url":"http://%s:%s","functions":{"apply":"echo"}}' "$host" "$port" >endpoint.dat.draft
    mv endpoint.dat.draft endpoint.dat
}

answer() {
    IFS=' ' read -r -t 10 method target _ || return
    while IFS= read -r -t 10 header && [ -n "${header%$'\r'}" ]; do :; done
    path=${target%%\?*}
    case "$method $path" in
        'GET /echo/'*) printf 'HTTP/1.0 200 OK\nContent-Type: text/plain\n\n%s' "${path#/echo/}" ;;
        *) printf 'HTTP/1.0 404 Not Found\nContent-Type: text/plain\n\nnot found\n' ;;
    esac
}

announce
case $(nc -h 2>&1) in
    OpenBSD*) ;;
    *) exec "${PYTHON:-python3}" echo.py "$host" "$port" ;; # other kinds of nc, or none
esac
mkfifo answers
failed=0
while [ "$failed" -lt 20 ]; do # nc ends with each caller; it fails if the port is another's
    if nc -l -N -w 10 "$host" "$port" <answers | answer >answers && [ "${PIPESTATUS[0]}" -eq 0 ]; then
        failed=0
    else
        failed=$((failed + 1))
        sleep 0.05
    fi
done
echo "nc can't listen at $host:$port" >&2
exit 1
