//! Images, documents and videos.
//!
//! Source: Amazon Bedrock User Guide, "Using the Converse API" (sizes and counts); vercel/ai #20365
//! (names of documents).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::super::fields::{as_object, check_keys, join, missing, one_of, text, union};
use super::super::request::Reader;
use crate::error::AwsError;
use crate::makers::Feature;

const IMAGE_FORMATS: &[&str] = &["png", "jpeg", "gif", "webp"];
const DOCUMENT_FORMATS: &[&str] =
    &["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];
const VIDEO_FORMATS: &[&str] =
    &["mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp"];

/// The formats of documents that are text.
const TEXT_FORMATS: &[&str] = &["csv", "html", "txt", "md"];

/// The largest image in bytes.
const MAX_IMAGE: usize = 3_750_000;
/// The most images of a request.
const MAX_IMAGES: usize = 20;
/// The largest document in bytes.
const MAX_DOCUMENT: usize = 4_500_000;
/// The most documents of a request.
const MAX_DOCUMENTS: usize = 5;
/// The longest name of a document.
const MAX_NAME: usize = 200;

/// The images and documents of a request.
pub(super) struct Media;

impl Media {
    /// Checks how many images and documents there are, and that no two documents have one name.
    pub(super) fn check(blocks: &[&Value]) -> Result<(), AwsError> {
        let all: Vec<&Value> = blocks
            .iter()
            .flat_map(|block| {
                let inner = block["content"].as_array().into_iter().flatten();
                std::iter::once(*block).chain(inner)
            })
            .collect();
        let of_kind = |kind: &'static str| all.iter().filter(move |block| block["type"] == kind);
        for (kind, max) in [("image", MAX_IMAGES), ("document", MAX_DOCUMENTS)] {
            let count = of_kind(kind).count();
            if count > max {
                return Err(AwsError::validation(format!(
                    "The number of {kind}s in the request ({count}) exceeds the limit of {max}."
                )));
            }
        }
        let names: Vec<&Value> = of_kind("document").map(|block| &block["title"]).collect();
        if names.iter().enumerate().any(|(index, name)| names[..index].contains(name)) {
            return Err(AwsError::validation("Messages can't contain duplicate document names."));
        }
        Ok(())
    }
}

/// Reads an image.
pub(super) fn image(
    reader: &Reader,
    image: &Map<String, Value>,
    path: &str,
) -> Result<Value, AwsError> {
    // models.dev PR 6821 has the wording, for documents.
    reader.need(
        Feature::Images,
        "This model doesn't support the image field for user messages. Remove image and try again.",
    )?;
    check_keys(image, &["format", "source"], path)?;
    let format = one_of(image, "format", IMAGE_FORMATS, path)?;
    let data = bytes(image, path)?;
    check_size(&data, MAX_IMAGE, path)?;
    let source =
        json!({ "type": "base64", "media_type": format!("image/{format}"), "data": data.encoded });
    Ok(json!({ "type": "image", "source": source }))
}

/// Reads a document.
pub(super) fn document(
    reader: &Reader,
    document: &Map<String, Value>,
    path: &str,
) -> Result<Value, AwsError> {
    reader.need(
        Feature::Documents,
        "This model doesn't support the document field for user messages. Remove document and try \
         again.",
    )?;
    check_keys(document, &["citations", "context", "format", "name", "source"], path)?;
    let name = text(document, "name", path)?;
    check_name(name)?;
    let source = document.get("source").ok_or_else(|| missing(&join(path, "source")))?;
    let known = ["bytes", "text", "content", "s3Location"];
    let plain = |text: &str| json!({ "type": "text", "media_type": "text/plain", "data": text });
    let source = match union(source, &known, "DocumentSource", &join(path, "source"))? {
        ("bytes", _) => {
            let format = one_of(document, "format", DOCUMENT_FORMATS, path)?;
            let data = bytes(document, path)?;
            check_size(&data, MAX_DOCUMENT, path)?;
            if TEXT_FORMATS.contains(&format) {
                plain(&String::from_utf8_lossy(&data.decoded))
            } else {
                json!({
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": data.encoded,
                })
            }
        }
        ("text", Value::String(text)) => plain(text),
        ("content", Value::Array(blocks)) => {
            let text: String = blocks.iter().filter_map(|it| it["text"].as_str()).collect();
            plain(&text)
        }
        _ => return Err(AwsError::validation(format!("{path}.source: not supported"))),
    };
    let mut block = json!({ "type": "document", "title": name, "source": source });
    for key in ["citations", "context"] {
        if let Some(value) = document.get(key) {
            block[key] = value.clone();
        }
    }
    Ok(block)
}

/// Reads a video, which becomes an image: no model of the stand-in looks at either.
pub(super) fn video(
    reader: &Reader,
    video: &Map<String, Value>,
    path: &str,
) -> Result<Value, AwsError> {
    if reader.other.is_none_or(|model| !model.has(Feature::Video)) {
        return Err(AwsError::validation(
            "This model doesn't support the video field for user messages. Remove video and try \
             again.",
        ));
    }
    check_keys(video, &["format", "source"], path)?;
    one_of(video, "format", VIDEO_FORMATS, path)?;
    let source =
        json!({ "type": "base64", "media_type": "image/png", "data": bytes(video, path)?.encoded });
    Ok(json!({ "type": "image", "source": source }))
}

fn check_name(name: &str) -> Result<(), AwsError> {
    // Underscores are taken, though the documentation does not list them.
    let is_known = |it: char| it.is_ascii_alphanumeric() || " -_()[]".contains(it);
    if name.is_empty()
        || name.len() > MAX_NAME
        || !name.chars().all(is_known)
        || name.contains("  ")
    {
        return Err(AwsError::validation(
            "The document file name can only contain alphanumeric characters, whitespace \
             characters, hyphens, parentheses, and square brackets. The name can't contain more \
             than one consecutive whitespace character. Check that the file name conforms to these \
             restrictions and retry your request.",
        ));
    }
    Ok(())
}

struct Data<'a> {
    encoded: &'a str,
    decoded: Vec<u8>,
}

/// Returns the bytes of a `source`.
fn bytes<'a>(object: &'a Map<String, Value>, path: &str) -> Result<Data<'a>, AwsError> {
    let path = join(path, "source");
    let source = object.get("source").ok_or_else(|| missing(&path))?;
    let encoded = text(as_object(source, &path)?, "bytes", &path)?;
    match BASE64_STANDARD.decode(encoded) {
        Ok(decoded) if !decoded.is_empty() => Ok(Data { encoded, decoded }),
        _ => Err(AwsError::validation(format!("The value at {path}.bytes is not valid base64."))),
    }
}

fn check_size(data: &Data, max: usize, path: &str) -> Result<(), AwsError> {
    if data.decoded.len() > max {
        return Err(AwsError::validation(format!(
            "The size of the file at {path} ({} bytes) exceeds the limit of {max} bytes.",
            data.decoded.len()
        )));
    }
    Ok(())
}
