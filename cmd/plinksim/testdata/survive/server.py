# A server of the tests of survival: "server.py PORT [proxy]". A client of TCP
# writes lines: "get N PAUSE" gives N blocks with a pause before each, and every
# other line comes back. With "proxy" a header of the PROXY protocol, version 2,
# must come first. What comes by UDP goes back.
import socket
import sys
import threading
import time

port, proxy = int(sys.argv[1]), "proxy" in sys.argv
block = bytes((i * 131 + (i >> 8) * 17) & 255 for i in range(65536))


def exactly(conn, n):
    got = b""
    while len(got) < n:
        more = conn.recv(n - len(got))
        if not more:
            raise EOFError
        got += more
    return got


def serve(conn):
    with conn:
        if proxy:
            head = exactly(conn, 16)
            if head[:12] != b"\r\n\r\n\0\r\nQUIT\n":
                return
            exactly(conn, int.from_bytes(head[14:16], "big"))
        for line in conn.makefile("rb"):
            words = line.split()
            if words[0] != b"get":
                conn.sendall(line)
                continue
            for _ in range(int(words[1])):
                time.sleep(float(words[2]))
                conn.sendall(block)


def echo():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", port))
        while True:
            data, client = s.recvfrom(2048)
            s.sendto(data, client)


threading.Thread(target=echo, daemon=True).start()
with socket.create_server(("", port), backlog=1024) as listener:
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
