import socket


client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
client.bind(("", 6000))
client.listen()		# 填入参数则设定最大连接说亮

while True:
    con, address = client.accept()
    while True:
        data = con.recv(1024)		
        con.send(data)
