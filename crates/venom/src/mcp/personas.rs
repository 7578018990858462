//! Personas as prompts and as resources.

use super::VenomServer;
use rmcp::ErrorData;
use rmcp::model::{
    GetPromptResult, Prompt, PromptMessage, ReadResourceResult, Resource, ResourceContents, Role,
};
use serde_json::json;
use venom_core::{Persona, PersonaError, PersonaName, PersonaSource as _};

/// The predecessor's prompts; both serve the configured persona.
const CONFIGURED_PERSONA_PROMPTS: [(&str, &str); 2] = [
    ("venom_identity", "Venom identity"),
    ("Spawn Venom", "Spawn Venom"),
];
/// Prompt names of single personas start with this.
const PROMPT_PREFIX: &str = "persona_";
/// Resource addresses of personas start with this.
const URI_PREFIX: &str = "venom://persona/";
const MARKDOWN: &str = "text/markdown";

fn protocol_error(error: &PersonaError) -> ErrorData {
    match error {
        PersonaError::NotFound { .. } => ErrorData::invalid_params(error.to_string(), None),
        PersonaError::Unreadable { .. } => ErrorData::internal_error(error.to_string(), None),
    }
}

impl VenomServer {
    fn all_personas(&self) -> Result<Vec<Persona>, ErrorData> {
        self.personas.list().map_err(|error| protocol_error(&error))
    }

    pub(super) fn prompts(&self) -> Result<Vec<Prompt>, ErrorData> {
        let configured = CONFIGURED_PERSONA_PROMPTS.into_iter().map(|(name, title)| {
            let description = "The configured persona, with the memory protocol";
            Prompt::new(name, Some(description), None).with_title(title)
        });
        let personas = self.all_personas()?.into_iter().map(|persona| {
            let name = format!("{PROMPT_PREFIX}{}", persona.name.as_str());
            let description = format!("The persona {:?}", persona.name.as_str());
            Prompt::new(name, Some(description), None).with_title(persona.title)
        });
        Ok(configured.chain(personas).collect())
    }

    pub(super) fn prompt(&self, name: &str) -> Result<GetPromptResult, ErrorData> {
        let persona = if CONFIGURED_PERSONA_PROMPTS
            .iter()
            .any(|(known, _)| *known == name)
        {
            self.personas.load_or_default(&self.config.persona)
        } else {
            let unknown = || {
                let name = super::shortened(name);
                let message =
                    format!("unknown prompt {name:?}: prompts/list names those there are");
                ErrorData::invalid_params(message, None)
            };
            let name = name.strip_prefix(PROMPT_PREFIX).ok_or_else(unknown)?;
            self.personas
                .load(&PersonaName::parse(name).map_err(|_| unknown())?)
        };
        let persona = persona.map_err(|error| protocol_error(&error))?;
        let message = PromptMessage::new_text(Role::User, persona.markdown);
        Ok(GetPromptResult::new(vec![message]).with_description(persona.title))
    }

    pub(super) fn resources(&self) -> Result<Vec<Resource>, ErrorData> {
        let resources = self.all_personas()?.into_iter().map(|persona| {
            let uri = format!("{URI_PREFIX}{}", persona.name.as_str());
            let mut resource = Resource::new(uri, persona.name.as_str());
            resource.title = Some(persona.title);
            resource.description = Some("A persona: who the assistant is".to_owned());
            resource.mime_type = Some(MARKDOWN.to_owned());
            resource.size = u64::try_from(persona.markdown.len()).ok();
            resource
        });
        Ok(resources.collect())
    }

    pub(super) fn resource(&self, uri: &str) -> Result<ReadResourceResult, ErrorData> {
        let short = super::shortened(uri);
        let not_found =
            |message: String| ErrorData::resource_not_found(message, Some(json!({ "uri": short })));
        let unknown = || {
            not_found(format!(
                "unknown resource {short:?}: expected {URI_PREFIX} and a persona's name"
            ))
        };
        let name = uri.strip_prefix(URI_PREFIX).ok_or_else(unknown)?;
        let name = PersonaName::parse(name).map_err(|_| unknown())?;
        let persona = self.personas.load(&name).map_err(|error| match error {
            PersonaError::NotFound { .. } => not_found(error.to_string()),
            PersonaError::Unreadable { .. } => protocol_error(&error),
        })?;
        let contents = ResourceContents::TextResourceContents {
            uri: uri.to_owned(),
            mime_type: Some(MARKDOWN.to_owned()),
            text: persona.markdown,
            meta: None,
        };
        Ok(ReadResourceResult::new(vec![contents]))
    }
}
