package main

import (
	"maps"
	"slices"

	gmsl "github.com/matrix-org/gomatrixserverlib"
)

type slot struct{ eventType, stateKey string }

type state map[slot]gmsl.PDU

type eventMap map[string]gmsl.PDU

// A room as one server knows it.
type room struct {
	version  gmsl.IRoomVersion
	events   eventMap
	rejected map[string]bool
}

func slotOf(pdu gmsl.PDU) slot {
	return slot{pdu.Type(), *pdu.StateKey()}
}

func (events eventMap) all(ids []string) []gmsl.PDU {
	found := []gmsl.PDU{}
	for _, id := range ids {
		if pdu, ok := events[id]; ok {
			found = append(found, pdu)
		}
	}
	return found
}

// The state that the auth events of an event make up, without rejected ones; in version 12 with the create event.
func (r *room) authState(pdu gmsl.PDU) state {
	cited := state{}
	for _, one := range r.events.all(pdu.AuthEventIDs()) {
		if !r.rejected[one.EventID()] {
			cited[slotOf(one)] = one
		}
	}
	return cited
}

// Whether an event is allowed in a state; slots that the state lacks are looked for in the event's own auth events.
func (r *room) allowed(pdu gmsl.PDU, in state) bool {
	full := r.authState(pdu)
	maps.Copy(full, in)
	return allowed(r.version, pdu, full)
}

func (r *room) resolve(states [][]gmsl.PDU) []gmsl.PDU {
	if r.version.StateResAlgorithm() == gmsl.StateResV1 {
		return slices.Collect(maps.Values(r.resolveV1(states)))
	}
	return slices.Collect(maps.Values(r.resolveV2(states)))
}
