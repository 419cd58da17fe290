#!/bin/sh
# SPDX-License-Identifier: MIT
# Starts Wine's session for the prefix that WINEPREFIX names, alone and with the services that its
# first program brings along. It then stays for two minutes after its last program.
wineserver -p120 >/dev/null 2>&1 </dev/null # says no when there is a session already
exec "${0%/*}/wine.sh" cmd /c ver
