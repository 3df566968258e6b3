package ipvs

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
)

// connText is what Linux 6.1 shows.
const connText = `Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP AC110009 858A AC1EC803 1F90 AC110006 1F90 SYN_SENT         96
TCP AC110009 CD20 AC1EC803 1F90 AC110006 1F90 ESTABLISHED     899
TCP AC110009 CD22 AC1EC803 1F90 AC110006 1F90 SYN_RECV         59
UDP AC110009 2710 AC1EC803 0035 AC110006 14E9 UDP             299
TCP fd00:0017:0000:0000:0000:0000:0000:0009 D3AE fd00:0172:0030:0000:0000:0000:0002:0005 1F90 fd00:0017:0000:0000:0000:0000:0000:0006 1F90 ESTABLISHED     899
TCP AC110009 BF3E AC1EC80B 1F90 AC110005 1F90 TIME_WAIT        12
`

func TestOpenConnectionsAreCounted(t *testing.T) {
	got, err := openConnections(strings.NewReader(connText))
	if err != nil {
		t.Fatal(err)
	}
	want := map[Key]int{
		{Addr: netip.MustParseAddrPort("172.30.200.3:8080"), Protocol: TCP}:       2,
		{Addr: netip.MustParseAddrPort("[fd00:172:30::2:5]:8080"), Protocol: TCP}: 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := openConnections(strings.NewReader("TCP AC110009 CD20 AC1EC8 1F90 AC110006 1F90 ESTABLISHED 899\n")); err == nil {
		t.Error("half an address is read")
	}
}
