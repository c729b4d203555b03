#!/bin/sh
# Runs workerd so that it never outlives the process that started it, also when that one is killed.
# Miniflare starts this in workerd's place (MINIFLARE_WORKERD_PATH).
#   HEARTH_WORKERD   path of workerd
#   HEARTH_PARENT    process id to watch
#   HEARTH_PID_FILE  where to leave the process id of workerd (optional)

if [ -n "$HEARTH_PID_FILE" ]; then echo $$ > "$HEARTH_PID_FILE"; fi

(
  while kill -0 "$HEARTH_PARENT" && kill -0 $$; do sleep 0.3; done
  kill -9 $$
) < /dev/null > /dev/null 2>&1 3>&- &

exec "$HEARTH_WORKERD" "$@"
