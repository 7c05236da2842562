# SPDX-License-Identifier: Apache-2.0
# Sourced by drover-up and run-tests: numbered steps with their time, colour on terminals only.
if [ -t 1 ]; then bold=$(printf '\033[1m'); green=$(printf '\033[32m'); red=$(printf '\033[31m'); off=$(printf '\033[0m')
else bold=; green=; red=; off=; fi
step_number=0

# step "what it does" command args...: prints the step, runs the command, prints how long it took.
step() {
    step_number=$((step_number + 1))
    step_what=$1
    shift
    echo "${bold}[$step_number] $step_what${off}"
    step_start=$(date +%s)
    if "$@"; then
        echo "    ${green}done${off} in $(($(date +%s) - step_start)) s"
    else
        step_rc=$?
        echo "    ${red}failed${off} (exit code $step_rc): $*" >&2
        return "$step_rc"
    fi
}

# build PRESET [target]: configures when needed and builds; ninja's line is the progress.
build() {
    if [ ! -f "build/$1/build.ninja" ]; then
        mkdir -p build
        cmake --preset "$1" >"build/configure-$1.log" 2>&1 || { cat "build/configure-$1.log"; return 1; }
    fi
    if [ -t 1 ]; then
        cmake --build --preset "$1" ${2:+--target "$2"}
        return
    fi
    # Without a terminal: a line each 50 steps, and the errors when it fails.
    if cmake --build --preset "$1" ${2:+--target "$2"} >"build/build-$1.log" 2>&1; then
        awk '/^\[[0-9]+\/[0-9]+\]/ { n++; if (n % 50 == 0) print "    " $1 }' "build/build-$1.log"
    else
        grep -A30 'FAILED\|error:' "build/build-$1.log" | head -200
        return 1
    fi
}
