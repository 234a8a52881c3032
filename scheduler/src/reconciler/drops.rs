//! Answers that leave out too many tenants to be believed.

use std::collections::HashSet;

use leasehold_common::config::Config;
use leasehold_common::store::{Held, SharedStore, StoreResult};

use super::Judged;

/// Tenants that are looked at in one piece.
const PAGE: u32 = 10_000;

/// Holds back each new answer that leaves out more of its source's tenants than the config allows. Who is named by the
/// file or an earlier source now does not count as gone.
pub(super) async fn hold(store: &SharedStore, config: &Config, judged: &mut [Judged]) -> StoreResult<()> {
    if !judged.iter().any(|judged| matches!(judged, Judged::New(..))) {
        return Ok(());
    }
    let file: HashSet<&str> = config.tenants().iter().map(|tenant| tenant.id.as_str()).collect();
    let sources = &config.roster().sources;
    let mut counts = vec![Held { gone: 0, of: 0 }; sources.len()];
    let mut after = None;
    loop {
        let page = store.origins(after.as_ref(), PAGE).await?;
        for (id, origin) in &page {
            let Some(place) = sources.iter().position(|source| source.name == *origin) else { continue };
            counts[place].of += 1;
            let named = file.contains(id.as_str()) || judged[..=place].iter().any(|judged| judged.names(id.as_str()));
            if !named {
                counts[place].gone += 1;
            }
        }
        if page.len() < PAGE as usize {
            break;
        }
        after = page.into_iter().last().map(|(id, _)| id);
    }
    for (judged, held) in judged.iter_mut().zip(counts) {
        if matches!(judged, Judged::New(..)) && held.gone as f64 > held.of as f64 * config.roster().max_drop {
            *judged = Judged::Held(held);
        }
    }
    Ok(())
}

impl Judged {
    fn names(&self, id: &str) -> bool {
        match self {
            Self::Same(Some(answer)) | Self::New(answer, _) => answer.rows.contains_key(id),
            Self::Same(None) | Self::Held(_) | Self::Failed(_) => false,
        }
    }
}
