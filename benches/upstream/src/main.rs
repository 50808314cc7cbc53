//! The upstream of the benchmark. It validates nothing, and all responses are encoded before the
//! first request, so that it is never the bottleneck.
//!
//! A word in a short prompt chooses the response: `batched` (a stream in large writes),
//! `throttled`, or `held` (a stream that stalls, or no response for `InvokeModel`). A stream of
//! Opus 5.5, and one of Bedrock's own Messages API, is a turn of Claude Code.

mod responses;

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use responses::{ResponseBody, Responses};

/// The length below which a body is searched for words, in bytes.
const SHORT: usize = 1024;

/// Serves on one thread, because on a machine with two cores the three processes of the benchmark
/// share them.
fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let responses: &'static Responses = Box::leak(Box::new(Responses::new()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    loop {
        let (connection, _) = listener.accept().await?;
        // With Nagle's algorithm, a small write waits for the acknowledgement of the previous one.
        connection.set_nodelay(true)?;
        let service = service_fn(move |request| respond(request, responses));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        // The only error is that of a disconnected client.
        tokio::spawn(async { connection.await.unwrap_or_default() });
    }
}

async fn respond(
    request: Request<Incoming>,
    responses: &'static Responses,
) -> Result<Response<ResponseBody>, Infallible> {
    let path = request.uri().path();
    let (is_native, is_turn) = (path.ends_with("/v1/messages"), path.contains("claude-opus-5-5"));
    let (streams, is_converse) = (path.ends_with("-stream"), path.ends_with("/converse-stream"));
    let mut body = request.into_body();
    let mut beginning = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let (Ok(data), true) = (frame.into_data(), beginning.len() < SHORT) {
            beginning.extend_from_slice(&data);
        }
    }
    let contains = |word: &str| {
        beginning.len() < SHORT
            && beginning.windows(word.len()).any(|window| window == word.as_bytes())
    };
    Ok(if is_native {
        responses.native_turn()
    } else if is_converse {
        responses.converse()
    } else if streams && is_turn {
        responses.turn()
    } else if contains("throttled") {
        responses.throttled()
    } else if contains("held") {
        if !streams {
            std::future::pending::<()>().await;
        }
        responses.stalled()
    } else if !streams {
        responses.invoke()
    } else if contains("batched") {
        responses.batched()
    } else {
        responses.frames()
    })
}
