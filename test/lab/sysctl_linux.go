package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// settings are the same in every namespace, in the order in which they must be written. They go before the first device
// besides lo, because a device copies the values of "default" when it appears.
//
//   - Forwarding comes first: switching it resets others.
//   - Duplicate address detection is off: IPv6 addresses are usable at once.
//   - Reverse path filters are off: a reply may take another way than the request.
//   - Redirects are off both ways: nodes forward on the device that the packet came in by, and a redirect accepted in one
//     test would change the path in the next.
//   - ICMP errors are exempt from rate limits, the machine's included: a test asks often, and every refusal must be heard.
var settings = []struct{ key, value string }{
	{"ipv4/ip_forward", "1"},
	{"ipv6/conf/all/forwarding", "1"},
	{"ipv6/conf/default/forwarding", "1"},
	{"ipv6/conf/all/disable_ipv6", "0"},
	{"ipv6/conf/default/disable_ipv6", "0"},
	{"ipv6/conf/all/accept_dad", "0"},
	{"ipv6/conf/default/accept_dad", "0"},
	{"ipv6/conf/default/accept_ra", "0"},
	{"ipv6/conf/all/accept_redirects", "0"},
	{"ipv6/conf/default/accept_redirects", "0"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/conf/lo/rp_filter", "0"},
	{"ipv4/conf/all/accept_redirects", "0"},
	{"ipv4/conf/default/accept_redirects", "0"},
	{"ipv4/conf/all/send_redirects", "0"},
	{"ipv4/conf/default/send_redirects", "0"},
	{"ipv4/icmp_ratemask", "0"},
	{"ipv6/icmp/ratemask", "128-129"}, // echo only
}

func (n *Namespace) setSysctls() error {
	for _, s := range settings {
		if err := n.SetSysctl(s.key, s.value); err != nil {
			return err
		}
	}
	return nil
}

// SetSysctl writes a setting under /proc/sys/net of the namespace; the key has slashes: "ipv4/vs/conntrack".
func (n *Namespace) SetSysctl(key, value string) error {
	return n.Do(func() error {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", key), []byte(value), 0); err != nil {
			return fmt.Errorf("namespace %s: %w", n.Name, err)
		}
		return nil
	})
}

// Sysctl reads a setting under /proc/sys/net of the namespace.
func (n *Namespace) Sysctl(key string) (value string, err error) {
	err = n.Do(func() error {
		raw, err := os.ReadFile(filepath.Join("/proc/sys/net", key))
		value = strings.TrimSpace(string(raw))
		return err
	})
	return value, err
}
