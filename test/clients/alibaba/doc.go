// Package alibaba lets the SDKs of Alibaba Cloud, unmodified, drive labs of plinksim in the
// kernel. It is a module of its own, as the SDKs are large: "make ali-clients" runs it.
package alibaba
