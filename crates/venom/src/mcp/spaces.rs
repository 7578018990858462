//! The tools about spaces as such.

use super::VenomServer;
use super::arguments::{optional_text, required_text};
use crate::admitted::Admitted;
use crate::asked::texts;
use crate::failure::Failure;
use rmcp::model::JsonObject;
use serde_json::{Value, json};
use venom_core::{InputError, MemoryId, Move, Moved, Source, SpaceName, visible};

impl VenomServer {
    pub(super) async fn list_spaces(&self, hub: &Admitted<'_>) -> Result<Value, Failure> {
        let usual = hub.default_space(&self.config.space);
        let spaces = hub.spaces().await?;
        let spaces: Vec<Value> = spaces
            .iter()
            .map(|space| {
                let mut value = json!({
                    "space": visible::line(space.name.as_str()),
                    "memories": space.memories,
                });
                if let Some(newest) = space.newest {
                    value["newest"] = json!(newest.to_string());
                }
                if space.name == *usual {
                    value["default"] = json!(true);
                }
                value
            })
            .collect();
        Ok(json!({ "spaces": spaces }))
    }

    pub(super) async fn move_memories(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
        source: Source,
    ) -> Result<Value, Failure> {
        let ids = texts(arguments, "memory_ids")?;
        if ids.is_empty() {
            return Err(Failure::invalid(
                "memory_ids is missing: expected a list of at least one memory_id",
            ));
        }
        let ids = ids.iter().map(|id| MemoryId::parse(id.trim()));
        let ids: Vec<MemoryId> = ids.collect::<Result<_, _>>()?;
        let to = SpaceName::parse(required_text(arguments, "to")?)?;
        self.refuse_quarantined(&source)?;
        let answers = hub
            .move_memories(Move::new(ids.clone(), to, source)?)
            .await?;
        let count = |what: Moved| answers.iter().filter(|it| **it == what).count();
        let missing = ids.iter().zip(&answers);
        let missing = missing.filter(|(_, answer)| **answer == Moved::NotFound);
        let missing: Vec<String> = missing.map(|(id, _)| id.to_string()).collect();
        let mut answer = json!({"moved": count(Moved::Moved)});
        if count(Moved::Already) > 0 {
            answer["already_there"] = json!(count(Moved::Already));
        }
        if !missing.is_empty() {
            answer["not_found"] = json!(missing);
        }
        Ok(answer)
    }

    pub(super) async fn manage_space(
        &self,
        arguments: &JsonObject,
        hub: &Admitted<'_>,
        source: &Source,
    ) -> Result<Value, Failure> {
        let action = required_text(arguments, "action")?;
        let space = SpaceName::parse(required_text(arguments, "space")?)?;
        let new_name = optional_text(arguments, "new_name")?;
        let confirm = optional_text(arguments, "confirm")?;
        self.refuse_quarantined(source)?;
        match action {
            "create" => {
                let is_new = hub.create_space(space).await?;
                Ok(json!({"created": is_new}))
            }
            "rename" => {
                let Some(new_name) = new_name else {
                    return Err(Failure::invalid(
                        "new_name is missing: expected the new name of the space",
                    ));
                };
                let to = SpaceName::parse(new_name)?;
                hub.rename_space(space.clone(), to.clone()).await?;
                let mut answer = json!({"space": visible::line(to.as_str())});
                if space == self.config.space && space != to {
                    answer["note"] = json!(
                        "Calls that name no space still go to the old name, until the owner changes COLLECTION_NAME."
                    );
                }
                Ok(answer)
            }
            "delete" => {
                let confirm = confirm.map(str::trim);
                if confirm != Some(space.as_str()) {
                    let received = confirm.map_or_else(
                        || "nothing".to_owned(),
                        |text| format!("{:?}", super::shortened(text)),
                    );
                    return Err(Failure::invalid(format!(
                        "nothing was deleted: ask the user, then set confirm to the name of the space; expected \
                         {:?}, received {received}",
                        space.as_str()
                    )));
                }
                let hidden = hub.delete_space(space).await?;
                let mut answer = json!({"deleted": true, "hidden_memories": hidden});
                if let Some(age) = self.config.erase_after {
                    answer["erased_after"] = json!(age.to_string());
                }
                Ok(answer)
            }
            other => Err(InputError::malformed("action", "create, rename or delete", other).into()),
        }
    }

    /// What a client in quarantine may not do: change what others recall.
    fn refuse_quarantined(&self, source: &Source) -> Result<(), Failure> {
        if self.config.precautions(source).quarantine {
            return Err(InputError::Quarantined.into());
        }
        Ok(())
    }
}
