#!/bin/sh
# busy.sh COUNT SECONDS: as many endless loops as another application of this host would have, in a unit with the slice, the
# weight and the scheduling policy of the first one.
set -eu
unit=$(systemctl list-units --plain --no-legend 'gunicorn*.service' | head -n 1 | cut -d' ' -f1)
weight=$(systemctl show --property=CPUWeight --value "$unit")
[ "$weight" != '[not set]' ] || weight=
policy=$(systemctl show --property=CPUSchedulingPolicy --value "$unit")
systemd-run --quiet --collect --unit=busy --slice="$(systemctl show --property=Slice --value "$unit")" \
    --property=CPUWeight="$weight" --property=CPUSchedulingPolicy="${policy:-0}" python3 -c '
import os, sys, time
end = time.monotonic() + float(sys.argv[2])
for _ in range(int(sys.argv[1]) - 1):
    if not os.fork():
        break
while time.monotonic() < end:
    pass
' "$1" "$2"
