//! Lambda's Invoke API in a Worker, whose answer may come before the work.

use wasm_bindgen::JsValue;

use super::body::RequestBody;
use super::{Worker, answered, glue, task};
use crate::config::{Config, ConfigError};
use crate::event::Event;
use crate::invocation::{Invoked, invocation_handler, run};

pub(super) async fn invoke(
    event: Event<RequestBody>,
    config: &'static Result<Config, ConfigError>,
    worker: &Worker,
) -> Result<JsValue, JsValue> {
    match invocation_handler(event, config, worker).await {
        Invoked::Answered(envelope, record) => {
            worker.log(record, config.as_ref().ok());
            answered(&envelope)
        }
        Invoked::Accepted(envelope, event) => {
            // Whoever called may leave: nobody waits for it.
            let client = JsValue::from(web_sys::AbortController::new()?);
            let worker = Worker { client: client.clone() };
            glue::outlast(&task::promise(&client, async move {
                let (_, record) = run(event, config, &worker).await;
                worker.log(record, config.as_ref().ok());
                Ok(JsValue::UNDEFINED)
            }));
            answered(&envelope)
        }
    }
}
