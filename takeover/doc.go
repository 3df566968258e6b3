// Package takeover finds and removes what kube-proxy left on a node, in any of its modes: its chains and
// the jumps to them, its nftables tables and its ipsets. What is somebody else's stays byte for byte.
//
// Everything here is known by name and by shape, for kube-proxy marks nothing as its own:
//
//   - chains that only kube-proxy makes ([chainOfTheirs]) go with all that is in them. kube-proxy itself
//     empties them whenever it likes, so nobody else can keep anything there;
//   - jumps to these chains go where they carry one of kube-proxy's comments. A chain that another jump
//     leads to is emptied and stays;
//   - KUBE-MARK-MASQ and KUBE-POSTROUTING are names that others use, Fairlead among them: of these only the
//     rules go that kube-proxy writes, and the chain when nothing else was in it;
//   - KUBE-FIREWALL, KUBE-KUBELET-CANARY, KUBE-MARK-DROP and KUBE-IPTABLES-HINT are the kubelet's.
//
// The virtual servers and addresses of kube-proxy's mode ipvs are not removed here. They are adopted: see
// [Leftovers.Adoptable].
//
// A kube-proxy that still runs brings back what is removed. [Watch] notices that, and waits until it is gone.
package takeover
