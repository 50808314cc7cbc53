//! The Bedrock of the benchmark: every answer is made before the first request, so that it never is
//! what the benchmark measures. It checks nothing.
//!
//! A short prompt chooses the answer by a word in it: `batched` streams, `throttled`, or `held`: a
//! stream that does not go on, or no answer at all.

mod answers;

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

use answers::{Answer, Answers};

/// Longer bodies are not searched for words.
const SHORT: usize = 1024;

/// One thread: two of three processes share a core on a small machine.
fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    loop {
        let (connection, _) = listener.accept().await?;
        // Or a small write would wait for the acknowledgement of the one before.
        connection.set_nodelay(true)?;
        let service = service_fn(move |request| answer(request, answers));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
        // Its error is that the client went away.
        tokio::spawn(async { connection.await.unwrap_or_default() });
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: &'static Answers,
) -> Result<Response<Answer>, Infallible> {
    let streams = request.uri().path().ends_with("-stream");
    let mut body = request.into_body();
    let mut beginning = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let (Ok(data), true) = (frame.into_data(), beginning.len() < SHORT) {
            beginning.extend_from_slice(&data);
        }
    }
    let asks_for = |word: &str| {
        beginning.len() < SHORT
            && beginning.windows(word.len()).any(|window| window == word.as_bytes())
    };
    Ok(if asks_for("throttled") {
        answers.throttled()
    } else if asks_for("held") {
        if !streams {
            std::future::pending::<()>().await;
        }
        answers.held()
    } else if !streams {
        answers.whole()
    } else if asks_for("batched") {
        answers.batched()
    } else {
        answers.frames()
    })
}
