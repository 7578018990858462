//! `/health`: whether store and model can serve. Never needs a token, so it says nothing private.

use super::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use venom_core::Stats;

/// How long store and model may take to answer before they count as unhealthy.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);

/// A model by its name; one that is given as a folder by the folder's own, without the way to it.
fn model_name(model: &str) -> &str {
    let name = Path::new(model).file_name().and_then(|name| name.to_str());
    name.unwrap_or(model)
}

/// What does not go as it should although store and model serve. Says nothing private.
fn degradations(stats: &Stats, has_backup_failed: bool) -> Vec<&'static str> {
    let all = [
        (
            stats.rebuilding > 0,
            "the index of a large space is being made anew; until then searches scan it and take longer",
        ),
        (
            stats.unclean.is_some(),
            "bytes of erased memories may still be in the files, as they cannot be removed now: venom doctor tells why",
        ),
        (
            has_backup_failed,
            "the last scheduled backup failed: the log on stderr tells why",
        ),
    ];
    let those = all.into_iter().filter(|(is_so, _)| *is_so);
    those.map(|(_, reason)| reason).collect()
}

/// The handler.
pub(super) async fn health(State(shared): State<Shared>) -> Response {
    let config = &shared.config;
    let checks = async {
        shared.hub.check().await?;
        shared.hub.stats(config.space.clone()).await
    };
    let outcome = match tokio::time::timeout(CHECK_TIME_MAX, checks).await {
        Ok(Ok(stats)) => Ok(stats),
        // Whoever needs a token for the rest learns no paths here.
        Ok(Err(_)) if config.asks_for_token() => {
            Err("the store or the model cannot serve now: the log on stderr tells why".to_owned())
        }
        Ok(Err(failure)) => Err(failure.message),
        Err(_) => Err(format!(
            "the store did not answer within {} s",
            CHECK_TIME_MAX.as_secs()
        )),
    };
    let mut body = json!({
        "status": "healthy",
        "server_name": "venom",
        "version": env!("CARGO_PKG_VERSION"),
        "personality_variant": config.persona.as_str(),
        "embedding_model": model_name(&config.model),
        "collection_name": config.space.as_str(),
        "memory_count": null,
        "storage": null,
    });
    let status = match outcome {
        Ok(stats) => {
            body["memory_count"] = json!(stats.space_memories);
            body["storage"] = json!(stats.storage);
            if let Some(came) = stats.taken_over {
                body["imported"] = json!({ "memories": came.memories, "skipped": came.skipped });
            }
            let reasons = degradations(&stats, shared.backups.has_failed());
            if !reasons.is_empty() {
                body["status"] = json!("degraded");
                body["reason"] = json!(reasons.join("; "));
            }
            StatusCode::OK
        }
        Err(reason) => {
            body["status"] = json!("unhealthy");
            body["reason"] = json!(reason);
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, axum::Json(body)).into_response()
}
