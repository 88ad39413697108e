import socket
soc=socket.socket()

soc.connect(('127.0.0.1',8080))
while True:
    soc.send('你好'.encode('utf-8'))
    print(soc.recv(1024).decode("utf8"))
