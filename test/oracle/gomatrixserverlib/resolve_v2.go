package main

import (
	"cmp"
	"maps"
	"math"
	"slices"

	gmsl "github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// Room versions 2 to 11, and 12 where it differs.
func (r *room) resolveV2(states [][]gmsl.PDU) state {
	isV21 := r.version.StateResAlgorithm() == gmsl.StateResV2_1
	agreed, conflicted := splitV2(states)
	full := r.authDifference(states)
	maps.Copy(full, conflicted)
	if isV21 {
		maps.Copy(full, r.conflictedSubgraph(conflicted))
	}
	power := r.powerEvents(full)
	rest := eventMap{}
	for id, pdu := range full {
		if _, ok := power[id]; !ok {
			rest[id] = pdu
		}
	}
	resolved := state{}
	if !isV21 {
		maps.Copy(resolved, agreed)
	}
	r.applyAllowed(r.powerOrder(power), resolved)
	r.applyAllowed(r.mainlineOrder(rest, resolved[slot{spec.MRoomPowerLevels, ""}]), resolved)
	maps.Copy(resolved, agreed)
	return resolved
}

func splitV2(states [][]gmsl.PDU) (agreed state, conflicted eventMap) {
	agreed, conflicted = state{}, eventMap{}
	count := map[string]int{}
	for _, pdu := range slices.Concat(states...) {
		count[pdu.EventID()]++
		conflicted[pdu.EventID()] = pdu
	}
	for id, pdu := range conflicted {
		if count[id] == len(states) {
			agreed[slotOf(pdu)] = pdu
		}
	}
	maps.DeleteFunc(conflicted, func(id string, _ gmsl.PDU) bool { return count[id] == len(states) })
	return agreed, conflicted
}

// Events and all that their auth chains hold.
func (r *room) withAuthChains(pdus []gmsl.PDU) eventMap {
	reached := eventMap{}
	waiting := slices.Clone(pdus)
	for len(waiting) > 0 {
		pdu := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if _, ok := reached[pdu.EventID()]; !ok {
			reached[pdu.EventID()] = pdu
			waiting = append(waiting, r.events.all(pdu.AuthEventIDs())...)
		}
	}
	return reached
}

// What some chains hold and not all; the events of a state count as part of its chain.
func (r *room) authDifference(states [][]gmsl.PDU) eventMap {
	union := eventMap{}
	count := map[string]int{}
	for _, pdus := range states {
		for id, pdu := range r.withAuthChains(pdus) {
			union[id] = pdu
			count[id]++
		}
	}
	maps.DeleteFunc(union, func(id string, _ gmsl.PDU) bool { return count[id] == len(states) })
	return union
}

// All that lies on a path of auth events between conflicted events.
func (r *room) conflictedSubgraph(conflicted eventMap) eventMap {
	subgraph := r.withAuthChains(slices.Collect(maps.Values(conflicted)))
	maps.DeleteFunc(subgraph, func(_ string, pdu gmsl.PDU) bool {
		for id := range r.withAuthChains([]gmsl.PDU{pdu}) {
			if _, ok := conflicted[id]; ok {
				return false
			}
		}
		return true
	})
	return subgraph
}

// The power events with those of their auth events, and theirs in turn, that are in the full conflicted set.
func (r *room) powerEvents(full eventMap) eventMap {
	power := eventMap{}
	waiting := []gmsl.PDU{}
	for _, pdu := range full {
		if isPowerEvent(pdu) {
			waiting = append(waiting, pdu)
		}
	}
	for len(waiting) > 0 {
		pdu := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		if _, ok := power[pdu.EventID()]; !ok {
			power[pdu.EventID()] = pdu
			waiting = append(waiting, full.all(pdu.AuthEventIDs())...)
		}
	}
	return power
}

func isPowerEvent(pdu gmsl.PDU) bool {
	switch pdu.Type() {
	case spec.MRoomPowerLevels, spec.MRoomJoinRules:
		return pdu.StateKeyEquals("")
	case spec.MRoomMember:
		membership, err := pdu.Membership()
		return err == nil && (membership == spec.Leave || membership == spec.Ban) && !pdu.StateKeyEquals(string(pdu.SenderID()))
	}
	return false
}

// Step by step the smallest of the events whose auth events have all been taken.
func (r *room) powerOrder(events eventMap) []gmsl.PDU {
	levels := map[string]float64{}
	for id, pdu := range events {
		levels[id] = userLevel(r.version, string(pdu.SenderID()), r.authState(pdu))
	}
	waiting := slices.Collect(maps.Values(events))
	slices.SortFunc(waiting, func(x, y gmsl.PDU) int {
		return cmp.Or(cmp.Compare(levels[y.EventID()], levels[x.EventID()]), compareTimeThenID(x, y))
	})
	ordered := []gmsl.PDU{}
	for len(waiting) > 0 {
		index := slices.IndexFunc(waiting, func(pdu gmsl.PDU) bool {
			return !slices.ContainsFunc(waiting, func(other gmsl.PDU) bool {
				return slices.Contains(pdu.AuthEventIDs(), other.EventID())
			})
		})
		ordered = append(ordered, waiting[index])
		waiting = slices.Delete(waiting, index, index+1)
	}
	return ordered
}

func compareTimeThenID(x, y gmsl.PDU) int {
	return cmp.Or(cmp.Compare(x.OriginServerTS(), y.OriginServerTS()), cmp.Compare(x.EventID(), y.EventID()))
}

// Those sent under the oldest power levels of the line first, and before them those under none of the line.
func (r *room) mainlineOrder(events eventMap, powerLevels gmsl.PDU) []gmsl.PDU {
	mainline := map[string]int{}
	for pdu := powerLevels; pdu != nil; pdu = r.citedPowerLevels(pdu) {
		mainline[pdu.EventID()] = len(mainline)
	}
	positions := map[string]int{}
	for id, event := range events {
		positions[id] = math.MaxInt
		for pdu := r.citedPowerLevels(event); pdu != nil; pdu = r.citedPowerLevels(pdu) {
			if position, ok := mainline[pdu.EventID()]; ok {
				positions[id] = position
				break
			}
		}
	}
	return slices.SortedFunc(maps.Values(events), func(x, y gmsl.PDU) int {
		return cmp.Or(cmp.Compare(positions[y.EventID()], positions[x.EventID()]), compareTimeThenID(x, y))
	})
}

func (r *room) citedPowerLevels(pdu gmsl.PDU) gmsl.PDU {
	for _, cited := range r.events.all(pdu.AuthEventIDs()) {
		if cited.Type() == spec.MRoomPowerLevels && cited.StateKeyEquals("") {
			return cited
		}
	}
	return nil
}

// The iterative auth checks.
func (r *room) applyAllowed(events []gmsl.PDU, resolved state) {
	for _, pdu := range events {
		if !r.rejected[pdu.EventID()] && r.allowed(pdu, resolved) {
			resolved[slotOf(pdu)] = pdu
		}
	}
}
