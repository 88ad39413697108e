import socket

HOST = "127.0.0.1"
PORT = 8081

if __name__ == '__main__':
    # 创建对象
    client = socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
    while 1:
        # 发数据
        client.sendto("123123".encode("utf8"),(HOST,PORT))
        # 接收数据
        print(client.recvfrom(1024)[0].decode("utf8"))
