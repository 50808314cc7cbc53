//! The Worker's entry, `#[event(fetch)]`, and nothing else: two of them in one wasm collide.

use ::worker::{Context, Env, Result, event};

#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    _context: Context,
) -> Result<web_sys::Response> {
    super::serve(&request, &env).await
}
