package controller

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// marks gives out the firewall marks by which clients from outside are led to local endpoints. Each
// Service port has one, for both families and all of its addresses. It keeps it while it needs it, also
// over a restart: what the kernel still holds says which one it was.
type marks struct {
	numbers fwmark.Range
	inUse   func(mark uint32) bool // whether anything in the kernel has it

	of   map[markOwner]uint32
	used map[uint32]struct{}
	next int // where to look for a free number
}

// markOwner is a Service port.
type markOwner struct {
	service  types.NamespacedName
	port     string
	protocol ipvs.Protocol
}

func newMarks(numbers fwmark.Range, inUse func(uint32) bool) *marks {
	return &marks{numbers: numbers, inUse: inUse, of: make(map[markOwner]uint32), used: make(map[uint32]struct{}), next: 1}
}

// get returns the owner's mark. remembered are the marks that the kernel has for the owner's
// addresses. It returns false when there is no free mark.
func (m *marks) get(owner markOwner, remembered func(yield func(uint32) bool)) (mark uint32, ok bool) {
	if mark, ok := m.of[owner]; ok {
		return mark, true
	}
	datagram := owner.protocol == ipvs.UDP
	for mark := range remembered {
		_, taken := m.used[mark]
		if !taken && m.numbers.Contains(mark) && mark != m.numbers.Drop() && m.numbers.Datagram(mark) == datagram {
			return m.take(owner, mark), true
		}
	}
	for range m.numbers.Len() {
		mark := m.numbers.Nth(m.next, datagram)
		if m.next++; m.next >= m.numbers.Len() {
			m.next = 1 // number 0 is the one to drop by
		}
		if _, taken := m.used[mark]; !taken && !m.inUse(mark) {
			return m.take(owner, mark), true
		}
	}
	return 0, false
}

func (m *marks) take(owner markOwner, mark uint32) uint32 {
	m.of[owner] = mark
	m.used[mark] = struct{}{}
	return mark
}

// release gives the owner's mark back. It goes to nobody else before the kernel is rid of it.
func (m *marks) release(owner markOwner) {
	delete(m.used, m.of[owner])
	delete(m.of, owner)
}
