package plan

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// The kernel's schedulers by hash fill a table with their real servers, and a client's hash chooses a place in it.
// Who meets another real server than before is told by the two tables. The functions here build them as the kernel
// does (net/netfilter/ipvs/ip_vs_mh.c and ip_vs_sh.c), with one difference: the kernel fills its table in the order
// of its list, the newest real server first, which it tells nobody. Here they are in the order of their addresses. A
// share is therefore one that is to be expected, not a promise.

const (
	shPlaces = 256  // IP_VS_SH_TAB_SIZE, unless CONFIG_IP_VS_SH_TAB_BITS is not 8
	mhPlaces = 4093 // IP_VS_MH_TAB_SIZE, unless CONFIG_IP_VS_MH_TAB_INDEX is not 12
	mhBits   = 6    // IP_VS_MH_TAB_BITS
)

// weighted is a real server that takes new connections.
type weighted struct {
	addr   netip.AddrPort
	weight int // at least 1
}

// shTable returns who has each place under sh, by index: one after the other, as many places in a row as its weight.
func shTable(reals []weighted) []int32 {
	table := make([]int32, shPlaces)
	at, filled := 0, 0
	for i := range table {
		table[i] = int32(at)
		if filled++; filled >= reals[at].weight {
			at, filled = (at+1)%len(reals), 0
		}
	}
	return table
}

// mhTable returns who has each place under mh (Maglev), by index: in turn, as often as its weight says, each real server takes
// the next free place of a permutation of its own.
func mhTable(reals []weighted) []int32 {
	const nobody = -1
	table := slices.Repeat([]int32{nobody}, mhPlaces)
	turns := mhTurns(reals)
	next, skip := make([]int, len(reals)), make([]int, len(reals))
	for i, real := range reals {
		next[i] = int(mhHash(real.addr, 2654435761) % mhPlaces)
		skip[i] = int(mhHash(real.addr, 2654446892)%(mhPlaces-1)) + 1
	}
	for free := mhPlaces; ; {
		for i := range reals {
			for range turns[i] {
				for table[next[i]] != nobody {
					if next[i] += skip[i]; next[i] >= mhPlaces {
						next[i] -= mhPlaces
					}
				}
				table[next[i]] = int32(i)
				if free--; free == 0 {
					return table
				}
			}
		}
	}
}

// mhTurns returns how many places each real server takes in its turn: its weight, without what all weights have in
// common, and shortened to few bits where there are very large ones.
func mhTurns(reals []weighted) []int {
	common, most := 0, 0
	for _, real := range reals {
		common, most = gcd(real.weight, common), max(most, real.weight)
	}
	shift := max(bits.Len(uint(most/common))-mhBits, 0)
	turns := make([]int, len(reals))
	for i, real := range reals {
		turns[i] = max(real.weight/common>>shift, 1)
	}
	return turns
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// mhHash is the kernel's hash of an address and a port, on 64-bit machines. Both halves of the key are the same.
func mhHash(addr netip.AddrPort, key uint64) uint32 {
	ip := addr.Addr().AsSlice()
	var folded uint32
	for ; len(ip) > 0; ip = ip[4:] {
		folded ^= binary.BigEndian.Uint32(ip)
	}
	return hsiphash(folded+uint32(addr.Port()), key, key)
}

// hsiphash is SipHash-1-3 of one number of 32 bits, cut to 32 bits (hsiphash_1u32, lib/siphash.c).
func hsiphash(number uint32, key0, key1 uint64) uint32 {
	v0, v1 := key0^0x736f6d6570736575, key1^0x646f72616e646f6d
	v2, v3 := key0^0x6c7967656e657261, key1^0x7465646279746573
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	block := uint64(4)<<56 | uint64(number)
	v3 ^= block
	round()
	v0 ^= block
	v2 ^= 0xff
	round()
	round()
	round()
	return uint32(v0 ^ v1 ^ v2 ^ v3)
}
