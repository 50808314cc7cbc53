# Sourced by the other scripts: the tools' versions and places, and which Rust builds wasm32.
# shellcheck shell=bash

# The version of the crate `worker` in Cargo.lock.
WORKER_BUILD_VERSION=0.8.7

WASM_TARGET=wasm32-unknown-unknown
# The rustup name of the toolchain that scripts/install makes where rustup cannot add the target.
WASM_TOOLCHAIN=bedrock-edge-wasm

cd "$(dirname "${BASH_SOURCE[0]}")/.."

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/bedrock-edge
WORKER_BUILD_DIR=$CACHE/worker-build-$WORKER_BUILD_VERSION
WASM_BINDGEN_DIR=$CACHE/wasm-bindgen-$(cat scripts/wasm-bindgen/{Cargo.*,src/main.rs} | cksum | cut -d ' ' -f 1)

# node_modules/.bin has the Node.js that wrangler needs; outside an npm script it is not on PATH.
export PATH="$PWD/node_modules/.bin:$PATH"

# worker-build would download these three.
export WASM_BINDGEN_BIN=$WASM_BINDGEN_DIR/bin/wasm-bindgen
export ESBUILD_BIN=$PWD/node_modules/.bin/esbuild
export WASM_OPT_BIN=$PWD/node_modules/.bin/wasm-opt

# What compile_worker makes.
WORKER_WASM=${CARGO_TARGET_DIR:-target}/$WASM_TARGET/release/bedrock_edge.wasm

# Compiles the Worker with its exports, as a cdylib only: Cargo does not optimize a crate at link time
# that is an rlib too, which makes the upload 9 KiB larger.
compile_worker() {
  # worker-build sets this variable: without it, its dependencies would be compiled twice.
  WASM_BINDGEN_USE_JS_SYS=1 for_wasm cargo rustc --quiet --lib --crate-type cdylib --release --target "$WASM_TARGET" --features entry
}

# has_wasm32 [+TOOLCHAIN]
has_wasm32() {
  [ -d "$(rustc "$@" --print target-libdir --target "$WASM_TARGET" 2>/dev/null)" ]
}

# for_wasm COMMAND...: runs it with the default toolchain, or with the linked one when only that has
# the target. Native builds and lints use the default.
#
# With SIMD, which every workerd has: SHA-256 takes a third less time, and the wasm is smaller.
# Without the name of the builder's home directory in panic messages.
for_wasm() {
  local flags=(-C target-feature=+simd128 "--remap-path-prefix=$HOME=~")
  local -x CARGO_ENCODED_RUSTFLAGS
  CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
  if has_wasm32; then
    "$@"
  else
    # It has no cargo of its own, and rustup would warn each time that it uses another toolchain's.
    RUSTUP_TOOLCHAIN=$WASM_TOOLCHAIN RUSTUP_LOG=warn "$@"
  fi
}

say() { echo "bedrock-edge: $*" >&2; }
die() { say "$*"; exit 1; }

# need COMMAND ADVICE
need() { command -v "$1" >/dev/null || die "$1 is missing: $2"; }

# step TEXT DURATION COMMAND...: says what the command does and about how long, and when it is done.
step() {
  local text=$1 start=$SECONDS
  say "$text (about $2)"
  shift 2
  "$@"
  say "$text: done in $((SECONDS - start)) s"
}
