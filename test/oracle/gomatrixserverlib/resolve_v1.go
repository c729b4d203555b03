package main

import (
	"crypto/sha1"
	"slices"

	gmsl "github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// Room version 1: level by level, each judged by what came out of those before.
func (r *room) resolveV1(states [][]gmsl.PDU) state {
	conflicts, agreed := splitV1(states)
	resolved := state{}
	for _, pdu := range agreed {
		resolved[slotOf(pdu)] = pdu
	}
	slots := map[slot][]gmsl.PDU{}
	for _, pdu := range conflicts {
		slots[slotOf(pdu)] = append(slots[slotOf(pdu)], pdu)
	}
	for _, candidates := range slots {
		slices.SortFunc(candidates, compareDepthThenHash)
	}
	for _, eventType := range []string{spec.MRoomPowerLevels, spec.MRoomJoinRules, spec.MRoomMember} {
		winners := state{}
		for at, candidates := range slots {
			if at.eventType == eventType {
				winners[at] = lastBeforeRefusal(candidates, resolved)
				delete(slots, at)
			}
		}
		for at, winner := range winners {
			resolved[at] = winner
		}
	}
	for at, candidates := range slots {
		for _, pdu := range slices.Backward(candidates) {
			if allowed(r.version, pdu, without(resolved, at)) {
				resolved[at] = pdu
				break
			}
		}
	}
	return resolved
}

func lastBeforeRefusal(candidates []gmsl.PDU, resolved state) gmsl.PDU {
	winner := candidates[0]
	for _, pdu := range candidates[1:] {
		in := without(resolved, slotOf(pdu))
		in[slotOf(pdu)] = winner
		if !allowed(gmsl.MustGetRoomVersion(pdu.Version()), pdu, in) {
			break
		}
		winner = pdu
	}
	return winner
}

// Ascending depth, then descending SHA-1 of the event id.
func compareDepthThenHash(x, y gmsl.PDU) int {
	if x.Depth() != y.Depth() {
		return int(x.Depth() - y.Depth())
	}
	xHash, yHash := sha1.Sum([]byte(x.EventID())), sha1.Sum([]byte(y.EventID()))
	return slices.Compare(yHash[:], xHash[:])
}

// Events of the slots in which states have different events, and those of all other slots.
func splitV1(states [][]gmsl.PDU) (conflicts, agreed []gmsl.PDU) {
	slots := map[slot][]gmsl.PDU{}
	seen := map[string]bool{}
	for _, pdu := range slices.Concat(states...) {
		if !seen[pdu.EventID()] {
			seen[pdu.EventID()] = true
			slots[slotOf(pdu)] = append(slots[slotOf(pdu)], pdu)
		}
	}
	for _, pdus := range slots {
		if len(pdus) > 1 {
			conflicts = append(conflicts, pdus...)
		} else {
			agreed = append(agreed, pdus...)
		}
	}
	return conflicts, agreed
}
