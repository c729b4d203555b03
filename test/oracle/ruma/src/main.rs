//! State resolution by the crate ruma-state-res, to compare ours with. Reads rooms as JSON, one a line, resolves
//! the sets of states that each names and prints for each room one line: the sorted event ids of each result.

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    io::{BufRead, Write},
    sync::Arc,
};

use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    RoomVersionId, UserId,
    room_version_rules::{RoomVersionRules, StateResolutionV2Rules},
};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::{Event, StateMap, resolve, utils::event_id_set::EventIdSet};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Room {
    version: RoomVersionId,
    events: Vec<RoomEvent>,
    /// Each a set of states to be resolved; a state is the ids of its events.
    merges: Vec<Vec<Vec<OwnedEventId>>>,
}

#[derive(Serialize)]
struct Answer {
    resolved: Vec<Vec<OwnedEventId>>,
}

/// An event with what our server reads from it; the wire form that comes along is not needed here.
#[derive(Deserialize)]
struct RoomEvent {
    event_id: OwnedEventId,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    rejected: bool,
}

impl Event for RoomEvent {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

type Events = HashMap<OwnedEventId, Arc<RoomEvent>>;
type State = StateMap<OwnedEventId>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let room: Room = serde_json::from_str(&line?)?;
        serde_json::to_writer(&mut output, &resolve_room(room)?)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

fn resolve_room(room: Room) -> Result<Answer, Box<dyn Error>> {
    let rules = room.version.rules().ok_or("unknown room version")?;
    let v2_rules = rules
        .state_res
        .v2_rules()
        .ok_or("state resolution v1 is not in this crate")?;
    let events: Events = room
        .events
        .into_iter()
        .map(|event| (event.event_id.clone(), Arc::new(event)))
        .collect();
    let resolved = room
        .merges
        .into_iter()
        .map(|states| resolve_states(&rules, v2_rules, &events, states))
        .collect::<Result<_, _>>()?;
    Ok(Answer { resolved })
}

fn resolve_states(
    rules: &RoomVersionRules,
    v2_rules: &StateResolutionV2Rules,
    events: &Events,
    states: Vec<Vec<OwnedEventId>>,
) -> Result<Vec<OwnedEventId>, Box<dyn Error>> {
    // The crate leaves the auth chains to its caller. The events of a state count as part of its chain, as the
    // servers that use the crate have it.
    let auth_chains = states
        .iter()
        .map(|state| reachable(events, state).into_iter().collect())
        .collect();
    let state_maps: Vec<State> = states
        .into_iter()
        .map(|ids| state_map(events, ids))
        .collect();
    let resolved = resolve(
        &rules.authorization,
        v2_rules,
        &state_maps,
        auth_chains,
        |id: &EventId| events.get(id).cloned(),
        |conflicted| Some(conflicted_subgraph(events, conflicted)),
    )?;
    let mut ids: Vec<_> = resolved.into_values().collect();
    ids.sort();
    Ok(ids)
}

fn state_map(events: &Events, ids: Vec<OwnedEventId>) -> State {
    ids.into_iter()
        .map(|id| {
            let event = &events[&id];
            let event_type = StateEventType::from(event.event_type.to_string());
            (
                (event_type, event.state_key.clone().unwrap_or_default()),
                id,
            )
        })
        .collect()
}

/// The events themselves and everything in their auth chains.
fn reachable(events: &Events, from: &[OwnedEventId]) -> HashSet<OwnedEventId> {
    let mut seen = HashSet::new();
    let mut waiting = from.to_vec();
    while let Some(id) = waiting.pop() {
        if let Some(event) = events.get(&id)
            && seen.insert(id)
        {
            waiting.extend(event.auth_events.iter().cloned());
        }
    }
    seen
}

/// What a conflicted event reaches and what reaches a conflicted event: the plainest reading of the definition.
fn conflicted_subgraph(
    events: &Events,
    conflicted: &StateMap<Vec<OwnedEventId>>,
) -> EventIdSet<OwnedEventId> {
    let conflicted: Vec<OwnedEventId> = conflicted.values().flatten().cloned().collect();
    let leads_to_conflicted = |id: &OwnedEventId| {
        conflicted
            .iter()
            .any(|end| reachable(events, std::slice::from_ref(id)).contains(end))
    };
    reachable(events, &conflicted)
        .into_iter()
        .filter(leads_to_conflicted)
        .collect()
}
