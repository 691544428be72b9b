// Package bench measures the data plane against the kernel's own NAT.
//
// [Run] builds the same topology twice: two VPCs with an instance each, their
// bridges, and an endpoint and a load balancer whose ENIs end in a data plane
// namespace. In the first, the core, that namespace belongs to a running lab;
// in the second, the kernel, the same devices have addresses there, and
// nftables translates both addresses of every packet (SNAT and DNAT). The
// workloads run through the two in turn, so that both see the same machine:
//
//	report, err := bench.Run(ctx, bench.Options{Rounds: 5, Seconds: 2})
//	report.WriteTable(os.Stdout)
//	err = report.WriteHTML(file)
//
// The load is generated and received by separate processes: this program,
// started again inside the instances. A program that imports the package calls
// [Generate] where its first argument is [GeneratorCommand].
package bench
