//! Many concurrent callers for a long time, with a fault in every fifth request. Each request must
//! get exactly one response, its own, and the Worker's memory must not grow.
//!
//! `npm test` runs this for ten seconds, `npm run soak` for five minutes (`SOAK_SECONDS`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bedrock_stub::Settings;
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::client::TIMEOUT;
use crate::support::events::StreamedReply;
use crate::support::fixture::Fixture;
use crate::support::workerd::resident_memory;

const CALLERS: usize = 50;

/// The pause between two requests of a caller. Without it the machine would run out of free ports.
const PAUSE: Duration = Duration::from_millis(100);

/// The permitted growth of the memory in addition to a tenth: memory that the allocator keeps, and
/// garbage that V8 has not collected yet.
const SLACK: u64 = 24 << 20;

/// The permitted growth in a short run, in which V8 collects hardly any garbage.
const SHORT_SLACK: u64 = 96 << 20;

/// Faults for requests without streaming.
const FAULTS: &[&str] = &[
    "throttled",
    "server_error#1",
    "type_in_body#1",
    "unavailable",
    "overloaded#2",
    "hang_up#1",
    "hang_up_before#1",
    "stall",
    "slow:300",
    "endless",
    "huge",
    "not_json",
    "cut_off",
    "no_text",
    "access_denied",
    "bad_signature",
    "validation",
    "not_found",
    "model_timeout#1",
    "redirect",
    "garbage_headers",
];

/// Faults for streams.
const STREAM_FAULTS: &[&str] = &[
    "throttled",
    "unavailable#1",
    "stream_exception:0",
    "stream_exception",
    "stream_model_error",
    "stream_error:0",
    "stream_bad_crc",
    "stream_bad_prelude",
    "stream_cut",
    "stream_hang_up",
    "stream_hang_up:0",
    "stream_stall",
    "stream_stall:0",
    "stream_not_frames",
    "stream_empty",
    "stream_split",
    "stream_glued",
    "pace:20",
    "stream_end",
];

/// The number of requests by kind and outcome.
type Outcomes = BTreeMap<String, u64>;

/// One of the concurrent callers.
struct Caller<'a> {
    fixture: &'a Fixture,
    client: Client,
    number: usize,
    calls: usize,
    count: usize,
    /// The number of prompts over a WebSocket that failed before `start`, the event with the ID.
    unnamed: usize,
    ids: BTreeSet<String>,
    outcomes: Outcomes,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_callers_each_get_their_own_responses_and_memory_stays_flat() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(10, |text| text.parse().unwrap());
    let settings = Settings { record: false, ..Settings::default() };
    // Much longer than any successful request takes, even on a busy machine.
    let bindings = json!({ "BEDROCK_TIMEOUT_MS": 8000, "BEDROCK_STALL_MS": 5000 });
    let fixture = Fixture::with_stub_settings(bindings, settings).await;
    let until = Instant::now() + Duration::from_secs(seconds);

    let sizes = async {
        let pid = fixture.worker.pid().await;
        let mut sizes = Vec::new();
        while Instant::now() < until {
            sizes.extend(resident_memory(pid));
            sleep(Duration::from_millis(500)).await;
        }
        sizes
    };
    let callers = join_all((0..CALLERS).map(async |number| {
        let mut caller = Caller {
            fixture: &fixture,
            client: Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap(),
            number,
            calls: 0,
            count: 0,
            unnamed: 0,
            ids: BTreeSet::new(),
            outcomes: Outcomes::new(),
        };
        while Instant::now() < until {
            caller.send_next().await;
            sleep(PAUSE).await;
        }
        caller
    }));
    let (sizes, callers) = tokio::join!(sizes, callers);

    let (mut count, mut unnamed, mut ids, mut outcomes) = (0, 0, BTreeSet::new(), Outcomes::new());
    for caller in callers {
        count += caller.count;
        unnamed += caller.unnamed;
        ids.extend(caller.ids);
        for (end, number) in caller.outcomes {
            *outcomes.entry(end).or_default() += number;
        }
    }
    println!("{count} requests of {CALLERS} callers in {seconds} s: {outcomes:#?}");
    assert_eq!(ids.len() + unnamed, count, "every request has its own ID");
    // One log line for each request.
    fixture.wait_until("the last log line", || fixture.worker.log_lines().len() >= count).await;
    let lines = fixture.worker.log_lines();
    assert_eq!(lines.len(), count, "log lines");
    let logged: BTreeSet<&str> =
        lines.iter().map(|it| it["request_id"].as_str().unwrap()).collect();
    assert_eq!(logged.len(), count, "IDs in the log");
    assert!(ids.iter().all(|id| logged.contains(&**id)), "the IDs of the responses are in the log");
    assert_eq!(fixture.worker.unexpected_output(), Vec::<String>::new());
    fixture.wait_for_streams("the end of all streams", |it| it.open() == 0).await;
    assert_flat(&sizes, if seconds < 60 { SHORT_SLACK } else { SLACK });
}

/// Asserts that the memory at the end is about the same as after the start. Without samples, on
/// systems other than Linux, it passes.
fn assert_flat(sizes: &[u64], slack: u64) {
    let median = |sizes: &[u64]| {
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied().unwrap_or(0)
    };
    let fifth = sizes.len() / 5;
    // The first fifth is the warm-up.
    let (early, late) = (median(&sizes[fifth..2 * fifth]), median(&sizes[4 * fifth..]));
    println!("workerd's memory: {} MiB early, {} MiB late", early >> 20, late >> 20);
    assert!(late <= early + early / 10 + slack, "the memory grows from {early} to {late} bytes");
}

impl Caller<'_> {
    /// Sends one request, or three prompts over a WebSocket.
    async fn send_next(&mut self) {
        self.calls += 1;
        match self.calls % 4 {
            0 => self.buffered("short", "").await,
            1 => self.buffered("long", &"long ".repeat(4000)).await,
            2 => self.stream().await,
            _ => self.websocket().await,
        }
    }

    /// Returns a unique prompt, and whether it requests a fault: every fifth does.
    fn prompt(&mut self, faults: &[&str]) -> (String, bool) {
        self.count += 1;
        let name = format!("caller {} request {}", self.number, self.count);
        let turn = self.number * 7 + self.count;
        if !turn.is_multiple_of(5) {
            return (name, false);
        }
        let fault = faults[turn / 5 % faults.len()];
        (format!("fault:{fault} {name}"), true)
    }

    /// Counts the outcome of a request with this ID.
    fn record(&mut self, kind: &str, how: &str, id: &str) {
        *self.outcomes.entry(format!("{kind}: {how}")).or_default() += 1;
        assert!(self.ids.insert(id.to_owned()), "the ID {id} occurs twice");
    }

    async fn buffered(&mut self, kind: &str, more: &str) {
        let (name, is_faulty) = self.prompt(FAULTS);
        let prompt = format!("{name} {more}");
        let url = format!("http://{}/", self.fixture.worker.address);
        let request = self.client.post(url).json(&json!({ "prompt": prompt }));
        let response = request.send().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let status = response.status().as_u16();
        let header =
            |header: &str| response.headers().get(header).map(|it| it.to_str().unwrap().to_owned());
        let (id, code) = (header("x-request-id").unwrap(), header("x-error-code"));
        let body: Value = response.json().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(body.as_object().unwrap().len(), 2, "{name}: {body}");
        assert!(body["input_prompt"] == *prompt, "{name}: the response of another request");
        let text = body["generated_text"].as_str().unwrap();
        if status == 200 {
            assert_eq!(code, None, "{name}");
            // The model ends this reply at once.
            let is_empty = name.starts_with("fault:no_text") && text.is_empty();
            let is_own = is_empty || text.contains(&*name);
            assert!(is_own, "{name}: the text of another request: {text}");
            self.record(kind, "ok", &id);
        } else {
            assert!(is_faulty && status == 500, "{name}: {status} {text}");
            assert!(text.starts_with("Error: "), "{name}: {text}");
            self.record(kind, &code.unwrap(), &id);
        }
    }

    async fn stream(&mut self) {
        let (name, is_faulty) = self.prompt(STREAM_FAULTS);
        let mut response = self.fixture.worker.stream(&name).await;
        let id = response.head.request_id().to_owned();
        if response.head.status == 200 {
            let reply = response.reply(&name).await;
            assert_eq!(reply.request_id(), id, "{name}");
            let how = reply_outcome(&name, is_faulty, &reply);
            return self.record("stream", &how, &id);
        }
        assert!(is_faulty, "{name}: {}", response.head);
        let body: Value = serde_json::from_str(&response.head.body).unwrap();
        assert_eq!(body["input_prompt"], name, "the reply to another request");
        let code = response.head.header("x-error-code").unwrap().to_owned();
        self.record("stream", &code, &id);
    }

    async fn websocket(&mut self) {
        let mut socket = self.fixture.worker.open_websocket().await;
        for _ in 0..3 {
            let (name, is_faulty) = self.prompt(STREAM_FAULTS);
            socket.prompt(&name).await;
            let reply = socket.reply(&name).await;
            let how = reply_outcome(&name, is_faulty, &reply);
            // A prompt that fails before `start` has no event with its ID.
            if reply.start.is_null() {
                *self.outcomes.entry(format!("socket: {how}")).or_default() += 1;
                self.unnamed += 1;
                continue;
            }
            let id = reply.request_id().to_owned();
            self.record("socket", &how, &id);
        }
        socket.close().await;
    }
}

/// Asserts that the reply belongs to the prompt, and returns its outcome.
fn reply_outcome(name: &str, is_faulty: bool, reply: &StreamedReply) -> String {
    if reply.last.name == "done" {
        assert_eq!(reply.last.data["input_prompt"], name, "the reply to another request");
        assert!(reply.text().contains(name), "the text of another request: {reply}");
        return "ok".to_owned();
    }
    assert!(is_faulty, "{name}: {reply}");
    reply.last.data["code"].as_str().unwrap().to_owned()
}
