import socket

client = socket.socket(socket.AF_INET,socket.SOCK_STREAM)
client.connect(("", 6000))

client.send(b"aaaaaa")
