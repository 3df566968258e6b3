package masq

import (
	"encoding/binary"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// nf_tables numbers the generations of a network namespace's rules: every commit, whoever makes it, is a
// new one. Where the generation is still that of the last look, nobody needs to start a process to find that
// the rules are as they were. The legacy variant has no such number, and is looked at every time.

// checked is when the rules were last seen to be right. The zero one is never.
type checked struct {
	generation uint32
	chains     map[Family][]Chain
}

// holds reports that these chains were right in this generation.
func (c checked) holds(generation uint32, chains map[Family][]Chain) bool {
	return c.generation == generation && maps.EqualFunc(c.chains, chains, func(a, b []Chain) bool {
		return slices.EqualFunc(a, b, Chain.equal)
	})
}

func (c Chain) equal(o Chain) bool {
	return c.Table == o.Table && c.Name == o.Name && c.Tentative == o.Tentative &&
		slices.EqualFunc(c.Rules, o.Rules, func(a, b Rule) bool { return a.Comment == b.Comment })
}

// isNFT reports that the program is iptables for nf_tables, by the name of the file behind all links. A
// wrapper that chooses a variant each time it is called is not.
func isNFT(path string) bool {
	file, err := filepath.EvalSymlinks(path)
	return err == nil && strings.Contains(filepath.Base(file), "nft")
}

// Numbers of nf_tables (include/uapi/linux/netfilter/nf_tables.h).
const (
	nftGetGeneration  = 10<<8 | 16 // NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
	nftGenerationAttr = 1          // NFTA_GEN_ID
)

// generation returns the number of the rules' generation. 0: it is not known.
func (l *Linux) generation() (number uint32) {
	if !l.nft {
		return 0
	}
	var b nlbatch.Batch
	b.Begin(nftGetGeneration, 0, 0, 0, 0, 0) // struct nfgenmsg
	err := l.numbers.Dump(&b, func(payload []byte) {
		if len(payload) < nfgenmsg {
			return
		}
		if v := nlbatch.Attribute(payload[nfgenmsg:], nftGenerationAttr); len(v) == 4 {
			number = binary.BigEndian.Uint32(v)
		}
	})
	if err != nil {
		return 0 // then the rules are looked at
	}
	return number
}
