# Sourced by the other scripts: the pinned tools, where they are, and which Rust builds wasm32.
# shellcheck shell=bash

WORKER_BUILD_VERSION=0.8.7
# worker-build 0.8.7 wants exactly this wasm-bindgen; Cargo.lock has to hold the same.
WASM_BINDGEN_VERSION=0.2.129

WASM_TARGET=wasm32-unknown-unknown
# The rustup name of the toolchain that scripts/setup makes where rustup cannot add the target.
WASM_TOOLCHAIN=bedrock-edge-wasm

cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bedrock-edge
WORKER_BUILD_DIR=$CACHE/worker-build-$WORKER_BUILD_VERSION
WASM_BINDGEN_DIR=$CACHE/wasm-bindgen-cli-$WASM_BINDGEN_VERSION

# node_modules/.bin has the Node.js that wrangler wants; outside an npm script it is not on PATH.
export PATH="$PWD/node_modules/.bin:$WORKER_BUILD_DIR/bin:$PATH"

# worker-build would fetch these three from the web.
export WASM_BINDGEN_BIN=$WASM_BINDGEN_DIR/bin/wasm-bindgen
export ESBUILD_BIN=$PWD/node_modules/.bin/esbuild
export WASM_OPT_BIN=$PWD/node_modules/.bin/wasm-opt

# has_wasm32 [+TOOLCHAIN]
has_wasm32() {
  [ -d "$(rustc "$@" --print target-libdir --target "$WASM_TARGET" 2>/dev/null)" ]
}

# for_wasm COMMAND...: runs it with the default toolchain, or with the linked one when only that
# one has the target. Native builds and lints stay with the default.
#
# With SIMD, which every workerd has: SHA-256 takes two thirds of the time, and the wasm is smaller.
# Without the builder's home in what a panic says.
for_wasm() {
  local flags=(-C target-feature=+simd128 "--remap-path-prefix=$HOME=~")
  local -x CARGO_ENCODED_RUSTFLAGS
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
  if has_wasm32; then
    "$@"
  else
    # It has no cargo of its own, and rustup would say each time that it takes another's.
    RUSTUP_TOOLCHAIN=$WASM_TOOLCHAIN RUSTUP_LOG=warn "$@"
  fi
}

say() { echo "bedrock-edge: $*" >&2; }
die() { say "$*"; exit 1; }
