//! A Worker without bedrock-edge. tests/examples/embedded.rs compares its exports with those of a
//! Worker that embeds bedrock-edge.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_request: Request, _env: Env, _context: Context) -> Result<Response> {
    Response::ok("plain")
}
