//! An image into a registry, without a container engine: the parts that the registry has not, then what names them. Source:
//! the OCI Distribution Specification 1.1, "Push".

mod challenge;
mod client;
mod credentials;
mod fault;
mod reference;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use hyper::{Method, StatusCode, Uri};
use serde::Serialize;

pub use credentials::Keyrings;
pub use fault::Fault;
pub use reference::{Reference, Unreadable};

use super::{Built, oci::Descriptor};
use client::{Client, form};
use wire::{Ask, Said};

/// Is told of bytes that are done with: sent, or there already.
pub type Tell = dyn Fn(u64) + Send + Sync;

/// What is in a registry now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// With the tag.
    pub reference: String,
    /// With the digest, which nobody can move.
    pub by_digest: String,
    /// Such as `linux/amd64`.
    pub platforms: Vec<String>,
}

impl Built {
    /// How many bytes a push tells of.
    pub fn size(&self) -> u64 {
        self.parts().map(|part| part.size as u64).sum()
    }

    /// Layers and settings.
    fn parts(&self) -> impl Iterator<Item = &Descriptor> {
        self.platforms
            .iter()
            .flat_map(|platform| [&platform.layer, &platform.config])
    }

    /// Pushes it. To end it early, drop the future: what is there by then does no harm, and is not sent again.
    pub async fn push(&self, reference: &Reference, keyrings: &Keyrings, tell: Arc<Tell>) -> Result<Pushed, Fault> {
        let mut client = Client::new(reference, keyrings, &tell);
        client.begin().await?;
        let mut pushing = Pushing {
            image: self,
            repository: reference.repository(),
            client,
        };
        for part in self.parts() {
            pushing.part(part, &tell).await?;
        }
        if self.platforms.len() > 1 {
            for platform in &self.platforms {
                pushing.manifest(&platform.manifest, &platform.manifest.digest).await?;
            }
        }
        pushing.manifest(&self.named, reference.tag()).await?;
        Ok(Pushed {
            reference: reference.to_string(),
            by_digest: reference.by_digest(&self.named.digest),
            platforms: self.platforms(),
        })
    }
}

struct Pushing<'a> {
    image: &'a Built,
    repository: &'a str,
    client: Client<'a>,
}

impl Pushing<'_> {
    /// A layer, or settings, unless they are there.
    async fn part(&mut self, part: &Descriptor, tell: &Arc<Tell>) -> Result<(), Fault> {
        let there = self.at(&format!("blobs/{}", part.digest))?;
        let said = self.client.send(Ask::new(Method::HEAD, there)).await?;
        // Some lead to where they keep it.
        if said.status.is_success() || said.status.is_redirection() {
            tell(part.size as u64);
            return Ok(());
        }
        let begin = self.at("blobs/uploads/")?;
        let said = self.client.send(Ask::new(Method::POST, begin.clone())).await?;
        self.expect(&said, StatusCode::ACCEPTED, "an upload was begun")?;
        let location = said
            .header("location")
            .ok_or_else(|| self.client.odd("it does not say where to upload".into()))?;
        let location = self.client.location(&begin, location)?;
        let digest = form(&[("digest", &part.digest)]);
        let separator = if location.query().is_some() { '&' } else { '?' };
        let whole: Result<Uri, _> = format!("{location}{separator}{digest}").parse();
        let mut ask = Ask::new(
            Method::PUT,
            whole.map_err(|_| self.client.odd("it leads to what is no URL".into()))?,
        );
        ask.content_type = Some("application/octet-stream");
        ask.body = self.image.blobs.get(part);
        ask.counts = true;
        let said = self.client.send(ask).await?;
        self.expect(&said, StatusCode::CREATED, "a part was sent")
    }

    /// What names other parts, under a tag or its own digest.
    async fn manifest(&mut self, manifest: &Descriptor, name: &str) -> Result<(), Fault> {
        let mut ask = Ask::new(Method::PUT, self.at(&format!("manifests/{name}"))?);
        ask.content_type = Some(manifest.media_type);
        ask.body = self.image.blobs.get(manifest);
        let said = self.client.send(ask).await?;
        self.expect(&said, StatusCode::CREATED, "the manifest was sent")?;
        match said.header("docker-content-digest") {
            Some(digest) if digest != manifest.digest => {
                let words = format!("it keeps {} as {digest}", manifest.digest);
                Err(self.client.odd(words))
            }
            _ => Ok(()),
        }
    }

    fn at(&self, path: &str) -> Result<Uri, Fault> {
        self.client.at(&format!("{}/{path}", self.repository))
    }

    fn expect(&self, said: &Said, status: StatusCode, doing: &'static str) -> Result<(), Fault> {
        if said.status == status {
            Ok(())
        } else {
            Err(self.client.refused(said, doing))
        }
    }
}
