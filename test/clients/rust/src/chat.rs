//! The timeline of a room on one device.

use anyhow::{Result, bail};
use matrix_sdk::{
    Room,
    ruma::{EventId, OwnedEventId, events::room::message::RoomMessageEventContent},
};
use matrix_sdk_ui::timeline::{EventTimelineItem, MsgLikeKind, Timeline, TimelineItemContent};

use crate::patience::until;

pub struct Chat {
    pub timeline: Timeline,
}

impl Chat {
    pub fn new(timeline: Timeline) -> Self {
        Self { timeline }
    }

    pub fn room(&self) -> &Room {
        self.timeline.room()
    }

    /// Sends a text that was not sent before, and waits until the server has sent it back.
    pub async fn say(&self, body: &str) -> Result<OwnedEventId> {
        self.timeline.send(RoomMessageEventContent::text_plain(body).into()).await?;
        let sent = self.latest(body, EventTimelineItem::is_own).await?;
        Ok(sent.event_id().expect("the server named it").to_owned())
    }

    /// Waits for the latest message with this body, as the server has it, of which more is true.
    pub async fn latest(
        &self,
        body: &str,
        accept: impl Fn(&EventTimelineItem) -> bool,
    ) -> Result<EventTimelineItem> {
        until(format_args!("\"{body}\" {}", self.place()), async || {
            let items = self.timeline.items().await;
            let mut events = items.iter().rev().filter_map(|item| item.as_event());
            let found =
                events.find(|event| body_of(event) == Some(body) && !event.is_local_echo() && accept(event));
            Ok(found.cloned())
        })
        .await
    }

    /// Waits until the event is there and readable. Fails if it says something else, or was not encrypted.
    pub async fn reads(&self, event_id: &EventId, body: &str) -> Result<EventTimelineItem> {
        let event = self.item(event_id, "readable", |event| body_of(event).is_some()).await?;
        match body_of(&event) {
            Some(read) if read == body && event.encryption_info().is_some() => Ok(event),
            Some(read) => bail!("{event_id} is \"{read}\", encrypted: {:?}", event.encryption_info()),
            None => unreachable!("it was accepted with a body"),
        }
    }

    /// Waits until the event is in the timeline, and as it should be.
    pub async fn item(
        &self,
        event_id: &EventId,
        how: &str,
        accept: impl Fn(&EventTimelineItem) -> bool,
    ) -> Result<EventTimelineItem> {
        until(format_args!("{event_id} {how} {}", self.place()), async || {
            Ok(self.timeline.item_by_event_id(event_id).await.filter(&accept))
        })
        .await
    }

    /// Reads back until an event is in the timeline, at most to the start of the room.
    pub async fn page_back_to(&self, event_id: &EventId) -> Result<()> {
        while self.timeline.item_by_event_id(event_id).await.is_none() {
            if self.timeline.paginate_backwards(10).await? {
                break;
            }
        }
        // What was read is shown a little later.
        self.item(event_id, "shown", |_| true).await?;
        Ok(())
    }

    fn place(&self) -> String {
        format!("on {}", self.room().client().device_id().expect("logged in"))
    }
}

pub fn body_of(event: &EventTimelineItem) -> Option<&str> {
    event.content().as_message().map(|message| message.body())
}

pub fn is_unreadable(event: &EventTimelineItem) -> bool {
    matches!(event.content(), TimelineItemContent::MsgLike(content) if matches!(content.kind, MsgLikeKind::UnableToDecrypt(_)))
}
