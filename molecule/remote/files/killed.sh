#!/bin/sh
# Runs a command, and kills it and all of its workers once the window of its run is open.
log=$(mktemp)
setsid "$@" > "$log" 2>&1 &
pid=$!
until grep -q '^ *window  ' "$log" || ! kill -0 "$pid"; do sleep 0.2; done
sleep 2
kill -KILL "-$pid" && echo 'killed in its window'
cat "$log"
rm "$log"
