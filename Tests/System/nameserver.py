#!/usr/bin/python3
"""A name server with a fault, in front of a good one.

    nameserver.py FAULT ADDRESS GOOD

Listens on ADDRESS, port 53, UDP; prints "ready". FAULT is one of
    silent     never answers
    slow       asks GOOD and passes its answer on after two seconds
    no-aaaa    asks GOOD, but never answers for AAAA records
    garbage    answers with random bytes, and with the answer of GOOD under another query's number
"""

import random
import socket
import sys
import threading
import time

AAAA = 28


def question_type(query):
    """The type of the first question of a message: after the header and the name's labels."""
    at = 12
    while query[at] != 0:
        at += query[at] + 1
    return int.from_bytes(query[at + 1:at + 3], "big")


def ask(good, query):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(5)
        out.sendto(query, (good, 53))
        return out.recv(65535)


def serve(fault, server, good, query, client):
    if fault == "silent" or (fault == "no-aaaa" and question_type(query) == AAAA):
        return
    if fault == "garbage":
        server.sendto(random.randbytes(random.randrange(1, 100)), client)
        server.sendto(query[:2] + random.randbytes(60), client)
        answer = ask(good, query)
        server.sendto(bytes([answer[0] ^ 0x55]) + answer[1:], client)
        return
    answer = ask(good, query)
    if fault == "slow":
        time.sleep(2)
    server.sendto(answer, client)


def main():
    fault, address, good = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(65535)
        threading.Thread(target=serve, args=(fault, server, good, query, client), daemon=True).start()


main()
