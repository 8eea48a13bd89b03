# Owns the one tool that a machine may lack: rsvg-convert (package librsvg2-bin), for the PNG beside each SVG. Without it the
# plots are SVG alone. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

as_root() {
    if ((EUID == 0)); then "$@"; else sudo --non-interactive "$@"; fi
}

install_what_is_missing() {
    if command -v rsvg-convert >/dev/null; then return; fi
    if command -v apt-get >/dev/null; then
        echo 'installing librsvg2-bin …'
        { as_root apt-get -qq update && as_root apt-get -qq install -y --no-install-recommends librsvg2-bin; } \
            </dev/null >"$scratch/apt.log" 2>&1 || true
    fi
    command -v rsvg-convert >/dev/null || echo 'left out: PNG (needs rsvg-convert, of the package librsvg2-bin)'
}

to_png() {
    local svg
    if ! command -v rsvg-convert >/dev/null; then return; fi
    for svg; do
        if [[ -e $svg ]]; then rsvg-convert --zoom 1.5 --output "${svg%.svg}.png" "$svg"; fi
    done
}
